//! Many threads that pick from the agent's board, each with a picker of its own: no system call and no lock for a pick.
//! Start `lars up` and add nodes before: `lars route add 1 1 127.0.0.1:9000`.

use lars_client::{Client, ModuleId, Outcome, PickError, Picker, Transport};
use std::time::{Duration, Instant};

const THREADS: u32 = 4;
const CALLS: u32 = 100_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder().name("pickers").connect()?;
    let module = ModuleId::new(1, 1);
    client.register(module, Duration::from_secs(1))?;
    match client.transport() {
        Transport::Board => println!("picks are made in this process"),
        Transport::StaleBoard => println!("the agent is away: picks are made from what it left"),
        Transport::Socket => println!("the agent lends no board: it is asked for each pick"),
    }
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let picker = client.picker();
                scope.spawn(move || call(picker, module))
            })
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .map_err(|_| "a thread panicked")?
                .map_err(|error| error.to_string())
        })
    })?;
    // What was reported is with the agent when this returns.
    client.flush()?;
    println!("{} picks and reports in {:?}", THREADS * CALLS, begun.elapsed());
    Ok(())
}

/// Here the caller measures for itself; `Picker::pick` gives a guard that does.
fn call(mut picker: Picker, module: ModuleId) -> Result<(), PickError> {
    for _ in 0..CALLS {
        let chosen = picker.choose(module)?;
        picker.report(&chosen, Outcome::Ok, Duration::from_micros(250))?;
    }
    Ok(())
}
