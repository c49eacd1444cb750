//! A dns asked as an agent of the C++ Lars asks it: one of theirs or one of ours, both answer the same way.

use lars_compat::message::{GetRoute, Route};
use lars_compat::{Frame, HEADER_BYTES, MessageId, decode, encode, module_of, node_of, split};
use lars_wire::{ModuleId, NodeAddr};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Questions that are with dns at a time: its answers must fit the buffers in between, since they are read afterwards.
const ASKED_MAX: usize = 64;
/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// A connection as such an agent has it.
#[derive(Debug)]
pub struct OldDns {
    stream: TcpStream,
    arrived: Vec<u8>,
    timeout: Duration,
}

impl OldDns {
    /// Connects; each answer may take `timeout`.
    pub fn connect(addr: &str, timeout: Duration) -> io::Result<Self> {
        let mut failed = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for addr in addr.to_socket_addrs()? {
            match TcpStream::connect_timeout(&addr, timeout) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_write_timeout(Some(timeout))?;
                    return Ok(Self {
                        stream,
                        arrived: Vec::new(),
                        timeout,
                    });
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// The nodes of each module, as they are now.
    pub fn routes(&mut self, modules: &[ModuleId]) -> io::Result<BTreeMap<ModuleId, BTreeSet<NodeAddr>>> {
        let mut routes = BTreeMap::new();
        for some in modules.chunks(ASKED_MAX) {
            let mut bytes = Vec::new();
            for module in some {
                let ask = GetRoute {
                    modid: module.modid as i32,
                    cmdid: module.cmdid as i32,
                };
                let mut frame = [0; 64];
                let written = encode(MessageId::GetRoute, &ask, &mut frame).unwrap_or(0);
                bytes.extend_from_slice(&frame[..written]);
            }
            self.stream.write_all(&bytes)?;
            let deadline = Instant::now() + self.timeout;
            // Pushes of what was asked before may come in between; the newest of a module counts.
            let mut missing: BTreeSet<ModuleId> = some.iter().copied().collect();
            while !missing.is_empty() {
                let (module, nodes) = self.next(deadline)?;
                missing.remove(&module);
                routes.insert(module, nodes);
            }
        }
        Ok(routes)
    }

    fn next(&mut self, deadline: Instant) -> io::Result<(ModuleId, BTreeSet<NodeAddr>)> {
        loop {
            if let Some(found) = self.take()? {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(ErrorKind::TimedOut, "no answer in time"));
            }
            self.stream.set_read_timeout(Some(left))?;
            let start = self.arrived.len();
            self.arrived.resize(start + READ_BYTES, 0);
            let read = self.stream.read(&mut self.arrived[start..]);
            self.arrived
                .truncate(start + read.as_ref().map_or(0, |bytes| *bytes));
            match read {
                Ok(0) => {
                    return Err(io::Error::new(
                        ErrorKind::UnexpectedEof,
                        "it closed the connection",
                    ));
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next route among what arrived, if one is whole.
    fn take(&mut self) -> io::Result<Option<(ModuleId, BTreeSet<NodeAddr>)>> {
        let bad = |error: lars_compat::FrameError| io::Error::new(ErrorKind::InvalidData, error.to_string());
        while let Some(Frame { number, body }) = split(&self.arrived).map_err(bad)? {
            let bytes = HEADER_BYTES + body.len();
            let found = if MessageId::of(number) == Some(MessageId::Route) {
                let route: Route = decode(MessageId::Route, body).map_err(bad)?;
                let nodes = route.hosts.iter().filter_map(|host| node_of(host.ip, host.port));
                Some((module_of(route.modid, route.cmdid), nodes.collect()))
            } else {
                None
            };
            self.arrived.drain(..bytes);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}
