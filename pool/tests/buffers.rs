//! The buffer pool against a model of it: never lent twice, always given back, never over the bound.

#[path = "support/seed.rs"]
mod seed;

use lars_pool::{Buffer, BufferClass, BufferPool, BufferPoolConfig, HEAP_BUFFER_BYTES_MAX};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// What a borrower may do.
#[derive(Clone, Debug)]
enum Step {
    CheckOut(usize),
    /// Gives back one of those that are lent, counted around.
    CheckIn(usize),
    Put(usize, usize),
    Consume(usize, usize),
    Compact(usize),
}

/// A lent buffer and what the model says it holds.
struct Held {
    buffer: Buffer,
    place: Place,
    content: Vec<u8>,
    next: u8,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = prop_oneof![
        0..=4096_usize,
        4097..=16_384_usize,
        16_385..=65_536_usize,
        65_537..=HEAP_BUFFER_BYTES_MAX + 2,
    ];
    let step = prop_oneof![
        4 => bytes.prop_map(Step::CheckOut),
        2 => any::<usize>().prop_map(Step::CheckIn),
        2 => (any::<usize>(), 0..6000_usize).prop_map(|(which, bytes)| Step::Put(which, bytes)),
        2 => (any::<usize>(), 0..6000_usize).prop_map(|(which, bytes)| Step::Consume(which, bytes)),
        1 => any::<usize>().prop_map(Step::Compact),
    ];
    prop::collection::vec(step, 1..200)
}

fn configs() -> impl Strategy<Value = BufferPoolConfig> {
    (1..6_u32, 0..4_u32, 0..3_u32, 0..4_u32).prop_map(|(small, medium, large, heap_max)| BufferPoolConfig {
        small,
        medium,
        large,
        heap_max,
    })
}

/// Where the rule says a buffer must come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Arena(BufferClass),
    Heap,
}

/// What the rule says is lent now; `None` is a refusal.
fn expected(config: &BufferPoolConfig, held: &[Held], bytes: usize) -> Option<Place> {
    let lent = |place| held.iter().filter(|one| one.place == place).count() as u32;
    let fits =
        |class: &BufferClass| bytes <= class.bytes() && lent(Place::Arena(*class)) < config.count(*class);
    match BufferClass::ALL.into_iter().find(fits) {
        Some(class) => Some(Place::Arena(class)),
        None if bytes <= HEAP_BUFFER_BYTES_MAX && lent(Place::Heap) < config.heap_max => Some(Place::Heap),
        None => None,
    }
}

/// Checks out and compares with the rule; the refusals so far are counted in `refused`.
fn check_out(
    pool: &BufferPool,
    config: &BufferPoolConfig,
    held: &mut Vec<Held>,
    bytes: usize,
    refused: &mut u64,
) -> Result<(), TestCaseError> {
    let expected = expected(config, held, bytes);
    let Some(mut buffer) = pool.check_out(bytes) else {
        *refused += 1;
        prop_assert_eq!(expected, None, "{} bytes were refused", bytes);
        return Ok(());
    };
    prop_assert!(buffer.is_empty() && buffer.capacity() >= bytes);
    let place = expected.expect("what the rule refuses is not lent");
    prop_assert_eq!(buffer.arena_offset().is_some(), place != Place::Heap);
    if let Place::Arena(class) = place {
        prop_assert_eq!(buffer.capacity(), class.bytes());
    }
    // Dirt over its whole length: were it lent to somebody else as well, their content would change.
    buffer.spare_mut().fill(0xA5);
    held.push(Held {
        buffer,
        place,
        content: Vec::new(),
        next: held.len() as u8,
    });
    Ok(())
}

fn put(held: &mut Held, bytes: usize) {
    let wanted: Vec<u8> = (0..bytes)
        .map(|place| held.next.wrapping_add((place % 251) as u8))
        .collect();
    held.next = held.next.wrapping_add(17);
    let taken = held.buffer.put(&wanted);
    held.content.extend_from_slice(&wanted[..taken]);
}

fn consume(held: &mut Held, bytes: usize) {
    let bytes = bytes.min(held.content.len());
    held.buffer.consume(bytes);
    held.content.drain(..bytes);
}

/// Everything that must hold after each step.
fn hold_invariants(
    pool: &BufferPool,
    config: &BufferPoolConfig,
    held: &[Held],
    refused: u64,
) -> Result<(), TestCaseError> {
    let (start, bytes) = pool.arena();
    let mut places = Vec::new();
    for one in held {
        prop_assert_eq!(one.buffer.data(), &one.content[..], "nobody else wrote into it");
        prop_assert_eq!(one.buffer.len(), one.content.len());
        if let Some(offset) = one.buffer.arena_offset() {
            prop_assert_eq!(one.buffer.data().as_ptr() as usize, start as usize + offset);
            prop_assert!(offset + one.buffer.len() <= bytes);
            let begin = offset - offset % 4096;
            places.push((begin, begin + 4096));
        }
    }
    places.sort_unstable();
    prop_assert!(
        places.windows(2).all(|pair| pair[0].1 <= pair[1].0),
        "two buffers share a place"
    );
    let counters = pool.counters();
    for class in BufferClass::ALL {
        let lent = held.iter().filter(|one| one.place == Place::Arena(class)).count() as u64;
        let counted = counters.class(class);
        prop_assert_eq!(counted.now, lent);
        prop_assert!(counted.now <= counted.most && counted.most <= u64::from(config.count(class)));
    }
    let heap = held.iter().filter(|one| one.place == Place::Heap).count() as u64;
    prop_assert_eq!(counters.heap().now, heap);
    prop_assert!(counters.heap().most <= u64::from(config.heap_max));
    prop_assert_eq!(counters.exhausted(), refused);
    Ok(())
}

fn play(config: &BufferPoolConfig, steps: &[Step]) -> Result<(), TestCaseError> {
    let pool = BufferPool::new(config).expect("a small arena can be mapped");
    let (mut held, mut refused) = (Vec::<Held>::new(), 0);
    for step in steps {
        let count = held.len().max(1);
        match *step {
            Step::CheckOut(bytes) => check_out(&pool, config, &mut held, bytes, &mut refused)?,
            Step::CheckIn(which) if !held.is_empty() => drop(held.swap_remove(which % count)),
            Step::Put(which, bytes) if !held.is_empty() => put(&mut held[which % count], bytes),
            Step::Consume(which, bytes) if !held.is_empty() => consume(&mut held[which % count], bytes),
            Step::Compact(which) if !held.is_empty() => {
                let one = &mut held[which % count];
                one.buffer.compact();
                prop_assert_eq!(
                    one.buffer.spare_mut().len(),
                    one.buffer.capacity() - one.content.len()
                );
            }
            _ => {}
        }
        hold_invariants(&pool, config, &held, refused)?;
    }
    held.clear();
    hold_invariants(&pool, config, &held, refused)?;
    // All was given back: everything can be lent once more.
    for class in BufferClass::ALL.into_iter().rev() {
        for _ in 0..config.count(class) {
            check_out(&pool, config, &mut held, class.bytes(), &mut refused)?;
        }
    }
    hold_invariants(&pool, config, &held, refused)
}

#[test]
fn whatever_borrowers_do_the_pool_does_as_its_model() {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed::seed().to_le_bytes());
    let config = Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let result = runner.run(&(configs(), steps()), |(config, steps)| play(&config, &steps));
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

#[test]
fn buffer_outlives_the_pool_that_lent_it() {
    let pool = BufferPool::new(&BufferPoolConfig::default()).expect("1 MiB can be mapped");
    let counters = pool.counters();
    let mut buffer = pool.check_out(10).expect("the pool is full");
    drop(pool);
    assert_eq!(buffer.put(b"still here"), 10);
    assert_eq!(buffer.data(), b"still here");
    drop(buffer);
    assert_eq!(
        (
            counters.class(BufferClass::Small).now,
            counters.class(BufferClass::Small).most
        ),
        (0, 1)
    );
}

#[test]
fn arena_is_page_aligned_and_large_buffers_lie_at_multiples_of_their_size() {
    let pool = BufferPool::new(&BufferPoolConfig::default()).expect("1 MiB can be mapped");
    let (start, bytes) = pool.arena();
    assert_eq!((start as usize % 4096, bytes), (0, 1024 * 1024));
    let large = pool
        .check_out(BufferClass::Large.bytes())
        .expect("the pool is full");
    assert_eq!(
        large
            .arena_offset()
            .map(|offset| offset % BufferClass::Large.bytes()),
        Some(0)
    );
}

#[test]
fn impossible_sizes_are_refused_not_tried() {
    let pool = BufferPool::new(&BufferPoolConfig::default()).expect("1 MiB can be mapped");
    assert!(pool.check_out(HEAP_BUFFER_BYTES_MAX + 1).is_none());
    assert!(pool.check_out(usize::MAX).is_none());
    assert_eq!(pool.counters().exhausted(), 2);
}

#[test]
fn configuration_out_of_range_names_the_key() {
    let cases = [
        (
            BufferPoolConfig {
                small: 0,
                medium: 0,
                large: 0,
                heap_max: 1,
            },
            "small",
        ),
        (
            BufferPoolConfig {
                large: 1_000_000,
                ..BufferPoolConfig::default()
            },
            "large",
        ),
        (
            BufferPoolConfig {
                heap_max: u32::MAX,
                ..BufferPoolConfig::default()
            },
            "heap_max",
        ),
    ];
    for (config, key) in cases {
        let error = BufferPool::new(&config).expect_err("out of range").to_string();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
#[should_panic(expected = "no more is filled")]
fn filling_beyond_the_room_is_caught() {
    let pool = BufferPool::new(&BufferPoolConfig::default()).expect("1 MiB can be mapped");
    let mut buffer = pool.check_out(1).expect("the pool is full");
    buffer.filled(buffer.capacity() + 1);
}
