//! What every store must do, as one body over the traits. A database joins by a [`Place`] of its own and one line at
//! the end of this file.

mod calls;
mod changes;
mod edits;
mod mysql;
mod mysql_names;
mod mysql_only;
mod mysql_unfit;
mod names;
mod place;
mod routes;
mod sharing;
mod sqlite;

use mysql::MysqlPlace;
use place::Place;
use sqlite::SqlitePlace;

/// Runs one sentence on a fresh database.
fn run<P: Place, F: Future<Output = ()>>(sentence: impl FnOnce(P) -> F) {
    block_on(async { sentence(P::fresh().await).await });
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for one thread")
        .block_on(future)
}

macro_rules! tests {
    ($place:ty: $($room:ident: $($sentence:ident),+ $(,)?;)+) => { $( mod $room { $(
        #[test]
        fn $sentence() {
            crate::run::<$place, _>(crate::$room::$sentence);
        }
    )+ } )+ };
}

macro_rules! all_sentences {
    ($place:ty) => {
        tests! { $place:
            routes:
                fresh_store_is_empty,
                observation_shows_what_any_program_changed,
                bare_delete_is_visible_in_rows_and_largest_id,
                change_rows_that_commit_out_of_order_are_seen_by_look_back,
                change_row_that_names_no_module_is_left_out,
                pages_read_every_row_once_good_or_bad,
                rows_of_reads_the_asked_modules_whole,
                rows_are_read_by_their_ids_and_a_module_by_parts,
                rows_that_cannot_be_served_say_why,
                every_row_is_given_once_however_far_ids_lie_apart,
                change_rows_are_pruned_after_an_hour;
            edits:
                put_adds_changes_and_finds_the_same,
                ipv6_nodes_are_put_and_removed,
                remove_of_what_is_not_there_changes_nothing,
                all_edits_or_none,
                each_changed_module_gets_one_change_row,
                version_grows_with_every_edit_and_keeps_up_with_the_clock,
                put_mends_rows_that_others_wrote_twice,
                module_may_not_outgrow_its_bound,
                put_that_could_not_be_served_is_refused,
                random_edits_match_a_model;
            calls:
                batch_is_stored_once_however_often_it_is_sent,
                batches_of_one_call_are_judged_in_order,
                many_rows_of_one_call_are_all_stored,
                many_agents_of_one_call_are_answered_as_they_came,
                gap_is_refused_and_changes_nothing,
                incarnation_never_seen_starts_anywhere,
                history_sums_what_callers_reported,
                history_is_read_by_module_and_from_a_minute_on,
                older_window_never_replaces_a_newer,
                window_without_calls_writes_nothing,
                unnumbered_windows_are_written_as_they_are,
                status_keeps_callers_and_address_families_apart,
                status_of_another_program_is_read,
                sums_beyond_the_database_stay_at_their_end,
                prune_takes_what_is_old_and_nothing_else,
                prune_goes_on_where_it_stopped;
            changes:
                change_is_stored_once_however_often_it_is_sent,
                old_changes_are_pruned_and_nothing_else;
            names:
                name_is_given_changed_and_taken_away,
                names_of_modids_and_of_cmdids_are_apart,
                names_are_read_by_number_and_page_by_page,
                name_keeps_its_letters_and_one_that_could_not_be_shown_is_refused,
                names_of_other_programs_are_read_and_put_in_order;
            sharing:
                two_connections_share_one_truth,
                writers_at_once_all_get_through,
                held_store_is_away_and_loses_nothing;
        }
    };
}

mod on_sqlite {
    all_sentences!(crate::SqlitePlace);
}

mod on_mysql {
    all_sentences!(crate::MysqlPlace);
}
