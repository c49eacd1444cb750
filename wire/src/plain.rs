//! The hottest messages field by field. serde asks its way through each of them (272 instructions for a pick, 238 for a
//! report; 42 and 50 here), and an agent decodes millions a second.
//!
//! The bytes are bincode's, which a test proves on arbitrary messages. Whatever is not plainly such a message is left
//! to bincode, which decides and says why: so there is one judge of what is wrong, and this is only its short cut.

use crate::module::ModuleId;
use crate::node::NodeAddr;

/// The rest of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    /// The next `N` bytes.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    #[inline]
    pub(crate) fn module(&mut self) -> Option<ModuleId> {
        let (modid, cmdid) = (self.u32()?, self.u32()?);
        Some(ModuleId::new(modid, cmdid))
    }

    #[inline]
    pub(crate) fn node(&mut self) -> Option<NodeAddr> {
        let (ip, port) = (self.array()?, self.array()?);
        Some(NodeAddr::from_octets(ip, u16::from_le_bytes(port)))
    }

    /// How many bytes are left.
    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.0.len()
    }
}

/// What is left of the space for a body.
#[derive(Debug)]
pub(crate) struct Writer<'a>(&'a mut [u8]);

impl<'a> Writer<'a> {
    pub(crate) fn new(space: &'a mut [u8]) -> Self {
        Self(space)
    }

    /// How many bytes may still be put.
    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.0.len()
    }

    /// Puts bytes of any number behind what was put before; none where they do not fit.
    #[inline]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        let (place, rest) = std::mem::take(&mut self.0).split_at_mut_checked(bytes.len())?;
        place.copy_from_slice(bytes);
        self.0 = rest;
        Some(())
    }

    /// The same where their number is known.
    #[inline]
    pub(crate) fn put<const N: usize>(&mut self, bytes: [u8; N]) -> Option<()> {
        let (place, rest) = std::mem::take(&mut self.0).split_first_chunk_mut::<N>()?;
        *place = bytes;
        self.0 = rest;
        Some(())
    }

    #[inline]
    pub(crate) fn node(&mut self, node: NodeAddr) -> Option<()> {
        self.put(node.octets())?;
        self.put(node.port().to_le_bytes())
    }
}
