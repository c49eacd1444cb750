//! The pool as a service sees it: one test body over the ring and over its epoll twin.

#[path = "both/busy.rs"]
mod busy;
#[path = "both/caller.rs"]
mod caller;
#[path = "both/connections.rs"]
mod connections;
#[path = "both/datagrams.rs"]
mod datagrams;
#[path = "both/ending.rs"]
mod ending;
#[path = "both/fairness.rs"]
mod fairness;
#[path = "both/mail.rs"]
mod mail;
#[path = "both/scarcity.rs"]
mod scarcity;
#[path = "both/service.rs"]
mod service;

/// Makes two tests of each body: `uring::NAME` and `epoll::NAME`.
macro_rules! over_both {
    ($($module:ident { $($name:ident,)* })*) => {
        mod uring {
            $($(
                #[test]
                fn $name() {
                    crate::$module::$name(lars_pool::IoChoice::Uring);
                }
            )*)*
        }
        mod epoll {
            $($(
                #[test]
                fn $name() {
                    crate::$module::$name(lars_pool::IoChoice::Epoll);
                }
            )*)*
        }
    };
}

over_both! {
    connections {
        echo_comes_back_over_unix_and_tcp,
        frames_cut_anywhere_come_back_whole_and_in_order,
        frames_of_the_largest_size_come_back,
        thousand_connections_are_spread_evenly_over_the_cores,
        listener_of_one_core_is_served_by_that_core,
        connection_beyond_the_maximum_is_closed_at_once,
        peer_is_known_by_its_process_and_user,
        last_answer_arrives_before_the_handler_closes,
        peer_that_ends_its_side_gets_all_its_answers,
        peer_reset_in_the_middle_of_a_write_harms_nobody,
        answers_of_many_pages_arrive_whole,
    }
    fairness {
        reader_with_a_full_out_queue_is_closed_and_others_are_served,
        reader_that_stalls_is_closed_after_ten_seconds,
        peers_that_read_nothing_hold_no_more_than_their_core_allows,
        push_to_many_that_read_nothing_is_held_once,
        crowded_core_answers_those_again_who_have_read,
        silent_peer_and_unfinished_frame_are_closed_and_idle_one_stays,
        flood_of_frames_leaves_turns_for_others,
        peer_that_asks_more_than_it_reads_is_held_back_and_served_in_the_end,
        exhausted_pool_slows_the_flooding_peers_and_nobody_else,
        those_who_read_nothing_leave_an_exhausted_pool_to_others,
    }
    scarcity {
        callers_share_fewer_receive_slots_than_they_are,
        answer_that_a_socket_takes_in_parts_arrives_whole,
        answers_that_two_sockets_take_in_parts_in_one_turn_arrive_whole,
        turn_with_more_writes_than_the_submission_queue_holds_sends_them_all,
    }
    busy {
        core_that_looks_busily_sleeps_only_when_nothing_comes,
        mail_reaches_a_core_that_looks_busily,
        system_calls_are_counted,
        many_echoes_of_a_turn_share_its_system_calls,
    }
    mail {
        mail_between_cores_keeps_its_order,
        more_mail_than_a_queue_holds_arrives_whole,
        outside_mail_wakes_a_sleeping_core,
        handler_is_called_when_it_asked_to_be,
        shared_bytes_reach_every_connection,
    }
    datagrams {
        datagrams_are_answered_each_once_to_who_sent_them,
        longest_answer_arrives_whole_and_too_long_a_question_is_left_out,
        datagrams_and_connections_leave_each_other_their_turns,
        what_is_queued_at_the_stop_is_answered_first,
        callers_of_a_service_that_stops_are_answered_or_refused,
    }
    ending {
        stop_sends_what_is_queued_within_a_second,
        stop_does_not_wait_for_a_peer_that_reads_nothing,
        stale_path_is_replaced_and_a_living_one_is_refused,
        port_is_free_again_when_the_service_has_stopped,
        way_to_move_bytes_is_told,
    }
}
