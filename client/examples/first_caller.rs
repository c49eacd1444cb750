//! A first caller: asks which node to call, calls it, tells how it went. Start `lars up` and add a node before:
//! `lars route add 1 1 127.0.0.1:9000`.

use lars_client::{Client, ModuleId};
use std::net::TcpStream;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder().name("first caller").connect()?;
    let module = ModuleId::new(1, 1);
    client.register(module, Duration::from_secs(1))?;
    for _ in 0..10 {
        let call = client.pick(module)?;
        let node = call.node();
        match TcpStream::connect_timeout(&node.socket_addr(), Duration::from_millis(100)) {
            Ok(_stream) => call.ok()?,
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => call.timed_out()?,
            Err(error) => call.failed(error.raw_os_error().unwrap_or(-1))?,
        }
        println!("called {node}");
    }
    client.flush()?;
    Ok(())
}
