//! What the book makes of pages and deltas, whole, broken, lost, old, or unasked for.

use crate::routes::{addr, news, route, unexplained};
use crate::seeds::with_seeds;
use lars_shard::{Noted, RouteBook, RouteNews};
use lars_wire::caller::Status;
use lars_wire::directory::{self, KnownModule, PushAck, RouteDelta, RouteHead, RoutePage};
use lars_wire::{ModuleId, Route};
use std::collections::BTreeMap;
use std::sync::Arc;

const A: ModuleId = ModuleId::new(1, 1);
const B: ModuleId = ModuleId::new(1, 2);

fn head(module: ModuleId, instance: u64, version: u64, explained: bool) -> RouteHead {
    RouteHead {
        module,
        status: Status::Ok,
        instance,
        version,
        explained,
    }
}

fn pages(module: ModuleId, version: u64, route: &Route) -> Vec<RoutePage> {
    let status = if route.is_empty() {
        Status::NotFound
    } else {
        Status::Ok
    };
    let head = RouteHead {
        status,
        ..head(module, 1, version, true)
    };
    directory::pages(head, route)
}

fn page(module: ModuleId, version: u64, route: &Route) -> RoutePage {
    pages(module, version, route).remove(0)
}

fn unknown(module: ModuleId) -> KnownModule {
    KnownModule {
        module,
        instance: 0,
        version: 0,
        hash: 0,
    }
}

fn known(module: ModuleId, version: u64, route: &Route) -> KnownModule {
    KnownModule {
        module,
        instance: 1,
        version,
        hash: route.content_hash(),
    }
}

fn whole(news: RouteNews) -> Noted {
    let ack = PushAck {
        module: news.module,
        version: news.version,
    };
    Noted::Whole(news, ack)
}

/// A book that holds version 1 of A, as dns instance 1 gave it.
fn holding(route: &Arc<Route>) -> RouteBook {
    let mut book = RouteBook::new();
    assert_eq!(book.subscribe(A), unknown(A));
    assert_eq!(book.page(page(A, 1, route)), whole(news(A, 1, route)));
    book
}

#[test]
fn large_route_is_whole_with_its_last_page() {
    let route = route(1..=3_000);
    let mut book = RouteBook::new();
    book.subscribe(A);
    let mut pages = pages(A, 4, &route);
    assert_eq!(pages.len(), 3);
    let last = pages.pop().expect("three");
    for page in pages {
        assert_eq!(book.page(page), Noted::More);
    }
    assert_eq!(book.page(last), whole(news(A, 4, &route)));
    assert_eq!(book.digest(None, 10), [known(A, 4, &route)]);
}

#[test]
fn module_that_does_not_exist_is_one_empty_page() {
    let mut book = RouteBook::new();
    book.subscribe(A);
    let Noted::Whole(news, _) = book.page(page(A, 1, &Route::default())) else {
        panic!("it is whole");
    };
    assert_eq!((news.status, news.route.is_empty()), (Status::NotFound, true));
}

#[test]
fn page_that_is_missing_mixed_up_or_falsified_asks_for_the_whole_again() {
    let large = route(1..=3_000);
    let all = pages(A, 4, &large);
    let broken: [(&str, Vec<RoutePage>); 5] = [
        ("a page is missing", vec![all[0].clone(), all[2].clone()]),
        ("it starts in the middle", vec![all[1].clone()]),
        (
            "another version goes on",
            vec![
                all[0].clone(),
                RoutePage {
                    version: 5,
                    ..all[1].clone()
                },
            ],
        ),
        (
            "the hash is wrong",
            vec![RoutePage {
                hash: 1,
                ..page(A, 1, &route([1]))
            }],
        ),
        (
            "not found, with nodes",
            vec![RoutePage {
                status: Status::NotFound,
                ..page(A, 1, &route([1]))
            }],
        ),
    ];
    for (what, mut pages) in broken {
        let mut book = RouteBook::new();
        book.subscribe(A);
        let last = pages.pop().expect("one at least");
        assert!(
            pages.into_iter().all(|page| book.page(page) == Noted::More),
            "{what}"
        );
        assert_eq!(book.page(last), Noted::AskAgain(unknown(A)), "{what}");
        for page in all.clone() {
            let _ = book.page(page);
        }
        assert_eq!(
            book.digest(None, 1),
            [known(A, 4, &large)],
            "{what}: the whole mends it"
        );
    }
}

#[test]
fn dns_whose_hashes_are_wrong_is_not_asked_in_circles() {
    let wrong = RoutePage {
        hash: 1,
        ..page(A, 1, &route([1]))
    };
    let mut book = RouteBook::new();
    book.subscribe(A);
    for _ in 0..3 {
        assert_eq!(book.page(wrong.clone()), Noted::AskAgain(unknown(A)));
    }
    assert_eq!(book.page(wrong.clone()), Noted::More);
    book.reconnected();
    assert_eq!(
        book.page(wrong),
        Noted::AskAgain(unknown(A)),
        "another connection, another chance"
    );
}

#[test]
fn pages_of_modules_nobody_subscribed_to_are_passed_over() {
    let mut book = RouteBook::new();
    assert_eq!(book.page(page(A, 1, &route([1]))), Noted::More);
    book.subscribe(A);
    book.unsubscribe(A);
    assert_eq!(book.page(page(A, 1, &route([1]))), Noted::More);
    assert_eq!((book.digest(None, 10), book.len()), (vec![], 0));
}

#[test]
fn older_version_of_one_dns_is_passed_over_and_of_another_is_taken() {
    let (older, newer) = (route([1]), route([1, 2]));
    let mut book = holding(&older);
    book.page(page(A, 5, &newer));
    assert_eq!(book.page(page(A, 4, &older)), Noted::More);
    let other = RoutePage {
        instance: 2,
        ..page(A, 1, &older)
    };
    assert_eq!(book.page(other), whole(news(A, 1, &older)));
}

#[test]
fn delta_is_applied_to_its_base_alone() {
    let (older, newer) = (route(1..=100), route(2..=101));
    let delta = |base, version| {
        directory::delta(head(A, 1, version, true), base, &older, &newer).expect("a small change")
    };
    let mut book = holding(&older);
    assert_eq!(book.delta(delta(1, 2)), whole(news(A, 2, &newer)));
    assert_eq!(book.digest(None, 1), [known(A, 2, &newer)]);
    assert_eq!(book.delta(delta(1, 2)), Noted::More, "it has that already");
    assert_eq!(
        book.delta(delta(3, 4)),
        Noted::AskAgain(unknown(A)),
        "a version is missing"
    );
    let wrong = RouteDelta {
        put: vec![],
        ..delta(1, 2)
    };
    assert_eq!(
        holding(&older).delta(wrong),
        Noted::AskAgain(unknown(A)),
        "the hash does not fit"
    );
    let other = RouteDelta {
        instance: 2,
        ..delta(1, 2)
    };
    assert_eq!(
        holding(&older).delta(other),
        Noted::AskAgain(unknown(A)),
        "versions of another dns"
    );
    let mut empty = RouteBook::new();
    assert_eq!(empty.delta(delta(1, 2)), Noted::More, "nobody asked");
    empty.subscribe(A);
    assert_eq!(
        empty.delta(delta(1, 2)),
        Noted::AskAgain(unknown(A)),
        "there is no base"
    );
}

#[test]
fn new_connection_forgets_half_routes_and_says_what_is_held_in_order() {
    let large = route(1..=2_000);
    let mut book = RouteBook::new();
    book.subscribe(B);
    book.subscribe(A);
    book.page(page(B, 3, &route([1])));
    let halves = pages(A, 4, &large);
    book.page(halves[0].clone());
    assert_eq!(book.reconnected(), [unknown(A), known(B, 3, &route([1]))]);
    assert_eq!(book.page(halves[1].clone()), Noted::AskAgain(unknown(A)));
}

#[test]
fn who_subscribes_again_gets_the_whole_unless_only_the_disk_spoke() {
    let book = holding(&route([1]));
    let (mut book, _) = RouteBook::from_disk(&book.to_disk()).expect("it was written whole");
    assert_eq!(book.subscribe(A), known(A, 1, &route([1])));
    book.page(page(A, 1, &route([1])));
    assert_eq!(book.subscribe(A), unknown(A));
}

#[test]
fn digest_goes_through_all_modules_in_parts() {
    let mut book = RouteBook::new();
    for cmdid in 0..10 {
        book.subscribe(ModuleId::new(2, cmdid));
    }
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let part = book.digest(after, 4);
        let Some(last) = part.last() else { break };
        after = Some(last.module);
        seen.extend(part.iter().map(|known| known.module.cmdid));
    }
    assert!(seen.iter().copied().eq(0..10), "{seen:?}");
}

#[test]
fn what_is_held_back_is_told_but_not_trusted_and_asked_for_anew() {
    let (full, shrunken) = (route(1..=10), route([1]));
    let mut book = holding(&full);
    let edition = book.edition();
    let bad = RoutePage {
        explained: false,
        ..page(A, 2, &shrunken)
    };
    assert_eq!(book.page(bad.clone()), whole(unexplained(A, 2, &shrunken)));
    assert_eq!(book.edition(), edition, "the disk keeps the good one");
    let (_, kept) = RouteBook::from_disk(&book.to_disk()).expect("whole");
    assert_eq!(kept, [news(A, 1, &full)]);
    assert_eq!(
        (book.digest(None, 1), book.reconnected()),
        (vec![unknown(A)], vec![unknown(A)])
    );
    // A delta still builds on what dns said last.
    let grown = route([1, 2]);
    let delta = RouteDelta {
        module: A,
        instance: 1,
        base: 2,
        version: 3,
        hash: grown.content_hash(),
        explained: false,
        zones: vec![],
        put: page(A, 3, &route([2])).nodes,
        removed: vec![],
    };
    assert_eq!(book.delta(delta), whole(unexplained(A, 3, &grown)));
    // Said again: believed.
    let again = RoutePage {
        explained: false,
        ..page(A, 3, &grown)
    };
    assert_eq!(book.page(again), whole(unexplained(A, 3, &grown)));
    assert!(book.edition() > edition);
    assert_eq!(book.digest(None, 1), [known(A, 3, &grown)]);
}

#[test]
fn edition_counts_what_changes_the_file_and_nothing_else() {
    let mut book = RouteBook::new();
    book.subscribe(A);
    assert_eq!(book.edition(), 0);
    book.page(page(A, 1, &Route::default()));
    assert_eq!(book.edition(), 0, "not found is not written");
    book.page(page(A, 2, &route([1])));
    assert_eq!(book.edition(), 1);
    book.page(page(A, 2, &route([1])));
    assert_eq!(book.edition(), 1, "the same again");
    book.unsubscribe(A);
    assert_eq!(book.edition(), 2);
}

/// A dns with one connection to one agent, and a line that loses messages.
struct Dns {
    instance: u64,
    version: u64,
    routes: BTreeMap<ModuleId, (u64, Arc<Route>)>,
    /// The version last pushed on this connection.
    pushed: BTreeMap<ModuleId, u64>,
}

impl Dns {
    fn answer(&mut self, book: &mut RouteBook, asked: &[KnownModule], random: &mut fastrand::Rng, loss: u8) {
        let mut asked = asked.to_vec();
        while let Some(known) = asked.pop() {
            let (version, route) = self.routes.get(&known.module).cloned().unwrap_or_default();
            let differs = if known.instance == self.instance {
                known.version != version
            } else {
                known.hash != route.content_hash()
            };
            self.pushed.insert(known.module, version);
            if !differs {
                continue;
            }
            let status = if route.is_empty() {
                Status::NotFound
            } else {
                Status::Ok
            };
            let head = RouteHead {
                status,
                ..head(known.module, self.instance, version, true)
            };
            for page in directory::pages(head, &route) {
                if random.u8(..100) >= loss
                    && let Noted::AskAgain(again) = book.page(page)
                {
                    asked.push(again);
                }
            }
        }
    }

    fn change(&mut self, book: &mut RouteBook, module: ModuleId, random: &mut fastrand::Rng, loss: u8) {
        self.version += 1;
        let (base, older) = self.routes.get(&module).cloned().unwrap_or_default();
        let most = if random.u8(..4) == 0 { 3_000 } else { 30 };
        let mut nodes = older.nodes().to_vec();
        for _ in 0..random.usize(..10) {
            nodes.push(lars_wire::RouteNode::new(addr(random.u32(..most))));
        }
        if random.u8(..5) == 0 {
            nodes = route(0..random.u32(..most)).nodes().to_vec();
        }
        nodes.retain(|_| random.u8(..10) > 0);
        let newer = Arc::new(Route::new(nodes));
        self.routes.insert(module, (self.version, newer.clone()));
        let head = head(module, self.instance, self.version, true);
        let delta = directory::delta(head, base, &older, &newer);
        if let Some(delta) = delta.filter(|_| self.pushed.get(&module) == Some(&base)) {
            self.pushed.insert(module, self.version);
            if random.u8(..100) >= loss
                && let Noted::AskAgain(again) = book.delta(delta)
            {
                self.answer(book, &[again], random, loss);
            }
        } else {
            self.answer(book, &[unknown(module)], random, loss);
        }
    }
}

#[test]
fn after_any_losses_one_digest_makes_book_and_dns_agree() {
    with_seeds(15, |seed, mut random| {
        let mut dns = Dns {
            instance: 7,
            version: 0,
            routes: BTreeMap::new(),
            pushed: BTreeMap::new(),
        };
        let mut book = RouteBook::new();
        let modules: Vec<ModuleId> = (0..5).map(|cmdid| ModuleId::new(1, cmdid)).collect();
        for step in 0..300 {
            let module = modules[random.usize(..5)];
            match random.u8(..20) {
                0 => book.unsubscribe(module),
                1 => {
                    let known = book.subscribe(module);
                    dns.answer(&mut book, &[known], &mut random, 10);
                }
                2 => {
                    // Another dns, or the same over a new connection.
                    dns.instance += u64::from(random.bool());
                    dns.pushed.clear();
                    let known = book.reconnected();
                    dns.answer(&mut book, &known, &mut random, 10);
                }
                _ => dns.change(&mut book, module, &mut random, 10),
            }
            if step % 50 == 49 {
                book.reconnected();
                dns.pushed.clear();
                let held = book.digest(None, 100);
                dns.answer(&mut book, &held, &mut random, 0);
                for known in book.digest(None, 100) {
                    let (_, route) = dns.routes.get(&known.module).cloned().unwrap_or_default();
                    assert_eq!(
                        known.hash,
                        route.content_hash(),
                        "seed {seed} step {step} {known:?}"
                    );
                }
            }
        }
    });
}
