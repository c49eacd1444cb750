//! Names for people: given, changed, taken away, and read as other programs wrote them.

use crate::place::Place;
use lars_store::{AnyStore, NameStore, RouteStore, StoreError};
use lars_wire::bounds::NAME_CHARS_MAX;
use lars_wire::names::NameOf::{self, Cmdid, Modid};

async fn all(store: &mut AnyStore, of: NameOf) -> Vec<(u32, String)> {
    let rows = store.names(of, None, None, 1_000).await.expect("names");
    rows.into_iter().map(|row| (row.number, row.name)).collect()
}

fn named(names: &[(u32, &str)]) -> Vec<(u32, String)> {
    names
        .iter()
        .map(|(number, name)| (*number, (*name).to_owned()))
        .collect()
}

async fn set(store: &mut AnyStore, of: NameOf, number: u32, name: Option<&str>) -> Option<String> {
    store.set_name(of, number, name).await.expect("it is named")
}

pub(crate) async fn name_is_given_changed_and_taken_away<P: Place>(place: P) {
    let mut store = place.open().await;
    let before = store.observe(0).await.expect("observe");
    assert_eq!(set(&mut store, Modid, 7, Some("shop")).await, None);
    assert_eq!(
        set(&mut store, Modid, 7, Some("store")).await.as_deref(),
        Some("shop")
    );
    assert_eq!(all(&mut place.open().await, Modid).await, named(&[(7, "store")]));
    assert_eq!(set(&mut store, Modid, 8, None).await, None);
    assert_eq!(set(&mut store, Modid, 7, None).await.as_deref(), Some("store"));
    assert_eq!(all(&mut store, Modid).await, []);
    assert_eq!(
        store.observe(0).await.expect("observe"),
        before,
        "a name is no change of routes"
    );
}

pub(crate) async fn names_of_modids_and_of_cmdids_are_apart<P: Place>(place: P) {
    let mut store = place.open().await;
    set(&mut store, Modid, 7, Some("shop")).await;
    set(&mut store, Cmdid, 7, Some("orders")).await;
    set(&mut store, Cmdid, u32::MAX, Some("last")).await;
    set(&mut store, Cmdid, 0, Some("first")).await;
    assert_eq!(all(&mut store, Modid).await, named(&[(7, "shop")]));
    let expected = named(&[(0, "first"), (7, "orders"), (u32::MAX, "last")]);
    assert_eq!(all(&mut store, Cmdid).await, expected);
    set(&mut store, Modid, 7, None).await;
    assert_eq!(all(&mut store, Cmdid).await, expected);
}

pub(crate) async fn names_are_read_by_number_and_page_by_page<P: Place>(place: P) {
    let mut store = place.open().await;
    for number in [9, 3, 200, 7, 0] {
        set(&mut store, Modid, number, Some(&format!("name {number}"))).await;
    }
    let read = async |store: &mut AnyStore, number, after, rows_max| {
        let rows = store.names(Modid, number, after, rows_max).await.expect("names");
        rows.into_iter().map(|row| row.number).collect::<Vec<_>>()
    };
    assert_eq!(read(&mut store, None, None, 2).await, [0, 3]);
    assert_eq!(read(&mut store, None, Some(3), 2).await, [7, 9]);
    assert_eq!(read(&mut store, None, Some(9), 2).await, [200]);
    assert!(read(&mut store, None, Some(u32::MAX), 2).await.is_empty());
    assert_eq!(read(&mut store, Some(7), None, 2).await, [7]);
    assert_eq!(read(&mut store, Some(0), None, 2).await, [0]);
    assert!(read(&mut store, Some(8), None, 2).await.is_empty());
}

pub(crate) async fn name_keeps_its_letters_and_one_that_could_not_be_shown_is_refused<P: Place>(place: P) {
    let mut store = place.open().await;
    let longest = "語".repeat(NAME_CHARS_MAX);
    for name in ["größe", "a'b\"c\\d%_;--", "名前", &longest] {
        set(&mut store, Cmdid, 1, Some(name)).await;
        assert_eq!(all(&mut store, Cmdid).await, named(&[(1, name)]));
    }
    for bad in ["", " a", "a ", "a\nb", &format!("{longest}x")] {
        let refused = store.set_name(Cmdid, 1, Some(bad)).await;
        assert!(
            matches!(refused, Err(StoreError::Refused(_))),
            "{bad:?}: {refused:?}"
        );
    }
    assert_eq!(
        all(&mut store, Cmdid).await,
        named(&[(1, &longest)]),
        "a refused name changes nothing"
    );
}

pub(crate) async fn names_of_other_programs_are_read_and_put_in_order<P: Place>(place: P) {
    place
        .foreign(
            "INSERT INTO ModIDConfig (modid, content) VALUES
             (5, '  '), (5, 'first  '), (5, 'second'), (6, ''), (7, 'a\u{1b}[31mb'), (8, 'eight')",
        )
        .await;
    let mut store = place.open().await;
    let expected = named(&[(5, "first"), (7, "a\u{fffd}[31mb"), (8, "eight")]);
    assert_eq!(all(&mut store, Modid).await, expected);
    assert_eq!(
        set(&mut store, Modid, 5, Some("new")).await.as_deref(),
        Some("first")
    );
    assert_eq!(
        set(&mut store, Modid, 5, None).await.as_deref(),
        Some("new"),
        "nothing older was left"
    );
    assert_eq!(all(&mut store, Modid).await, expected[1..]);
    // No push, no version: the next look sees it.
    place
        .foreign("UPDATE ModIDConfig SET content = 'acht' WHERE modid = 8")
        .await;
    assert_eq!(all(&mut store, Modid).await.last(), named(&[(8, "acht")]).first());
}
