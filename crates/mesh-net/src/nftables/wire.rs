//! Netlink's messages and attributes, as nf_tables has them (linux/netlink.h, linux/netfilter/nfnetlink.h).
//!
//! Headers are in the machine's byte order, numbers in attributes in the network's.

/// Messages that are carried out together: wholly, or not at all.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// The number of the last message, and where it begins.
    last: (u32, usize),
}

/// What a message says of a table, a chain or a rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes(Vec<u8>);

impl Batch {
    /// Begins one.
    pub(super) fn new() -> Self {
        let mut batch = Self {
            bytes: Vec::new(),
            last: (0, 0),
        };
        batch.push(BATCH_BEGIN, 0, UNSPECIFIED, NFTABLES, &Attributes::default());
        batch
    }

    /// One more message, about a table of family `inet` or something in it.
    pub(super) fn add(&mut self, kind: Kind, attributes: &Attributes) {
        let flags = match kind {
            Kind::NewTable | Kind::NewChain => CREATE,
            Kind::NewRule => CREATE | APPEND,
            Kind::DeleteTable => 0,
        };
        let kind = (NFTABLES << 8) | kind as u16;
        let begins = self.bytes.len();
        self.push(kind, flags, INET, 0, attributes);
        self.last = (self.last.0 + 1, begins);
    }

    /// Ends it. The kernel tells of errors unasked, and of success where the last message asks for that: very many answers would not
    /// fit the socket.
    pub(super) fn end(mut self) -> Self {
        let flags = self.last.1 + FLAGS;
        let asked = u16::from_ne_bytes([self.bytes[flags], self.bytes[flags + 1]]) | ACKNOWLEDGE;
        self.bytes[flags..flags + 2].copy_from_slice(&asked.to_ne_bytes());
        self.push(BATCH_END, 0, UNSPECIFIED, NFTABLES, &Attributes::default());
        self
    }

    /// As it is sent.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of the last message in it; they are numbered from 1.
    pub(super) fn last(&self) -> u32 {
        self.last.0
    }

    fn push(&mut self, kind: u16, flags: u16, family: u8, resource: u16, attributes: &Attributes) {
        let sequence = self.last.0 + 1;
        self.bytes
            .extend(message(kind, flags, sequence, family, resource, attributes));
    }
}

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// `NFT_MSG_NEWTABLE`; one that is there is left as it is.
    NewTable = 0,
    /// `NFT_MSG_DELTABLE`, with all that is in it.
    DeleteTable = 2,
    /// `NFT_MSG_NEWCHAIN`.
    NewChain = 3,
    /// `NFT_MSG_NEWRULE`, behind those that the chain has.
    NewRule = 6,
}

impl Attributes {
    /// One more, of these bytes.
    pub(super) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        // Ours are short; the kernel would refuse what is cut.
        let length = u16::try_from(HEADER + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(ALIGNED), 0);
        self
    }

    /// One more, of text, which ends with a zero.
    pub(super) fn text(self, kind: u16, value: &str) -> Self {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// One more, of a number.
    pub(super) fn number(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// One more, of attributes.
    pub(super) fn nested(self, kind: u16, value: &Self) -> Self {
        self.bytes(kind | NESTED, &value.0)
    }
}

/// A message that asks for something.
pub(super) fn request(kind: u16, family: u8, attributes: &Attributes) -> Vec<u8> {
    message((NFTABLES << 8) | kind, 0, 0, family, 0, attributes)
}

fn message(
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    resource: u16,
    attributes: &Attributes,
) -> Vec<u8> {
    let length = MESSAGE_HEADER + FAMILY_HEADER + attributes.0.len();
    let mut message = Vec::with_capacity(length);
    // Ours are short; the kernel refuses a message that is longer than it says.
    message.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((flags | REQUEST).to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    // From the port that the kernel chooses.
    message.extend(0_u32.to_ne_bytes());
    message.extend([family, VERSION_0]);
    message.extend(resource.to_be_bytes());
    message.extend(&attributes.0);
    message
}

/// The acknowledgements of an answer: each message's number, and 0 or the error's.
pub(super) fn acknowledged(answer: &[u8]) -> impl Iterator<Item = (u32, i32)> {
    let error = |message: &[u8]| {
        let number = |from: usize| <[u8; 4]>::try_from(message.get(from..from + 4)?).ok();
        let told = (
            u32::from_ne_bytes(number(8)?),
            i32::from_ne_bytes(number(16)?).wrapping_neg(),
        );
        (kind(message) == Some(ERROR)).then_some(told)
    };
    messages(answer).filter_map(error)
}

/// The tables of which notifications speak; text that is none is empty.
pub(super) fn tables(datagram: &[u8]) -> impl Iterator<Item = &str> {
    let table = |message| {
        let text = attribute(message, OWN_TABLE)?.strip_suffix(&[0]);
        Some(
            text.and_then(|text| std::str::from_utf8(text).ok())
                .unwrap_or_default(),
        )
    };
    // The generation is told with each transaction, and is in no table.
    let of_tables =
        |message: &&[u8]| kind(message).is_some_and(|kind| kind != (NFTABLES << 8) | NEW_GENERATION);
    messages(datagram)
        .filter(of_tables)
        .map(move |message| table(message).unwrap_or_default())
}

/// The first message, where it is of that kind.
pub(super) fn first(answer: &[u8], of: u16) -> Option<&[u8]> {
    let is = |message: &&[u8]| kind(message) == Some((NFTABLES << 8) | of);
    messages(answer).next().filter(is)
}

/// The value of a message's attribute.
pub(super) fn attribute(message: &[u8], attribute: u16) -> Option<&[u8]> {
    let mut attributes = message.get(MESSAGE_HEADER + FAMILY_HEADER..)?;
    loop {
        let length = usize::from(u16::from_ne_bytes(attributes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?);
        let value = attributes.get(HEADER..length)?;
        if kind == attribute {
            return Some(value);
        }
        attributes = attributes.get(length.checked_next_multiple_of(ALIGNED)?..)?;
    }
}

fn kind(message: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?))
}

/// The messages of an answer, each with its header; what is cut off is left out.
fn messages(mut answer: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(answer.get(..4)?.try_into().ok()?);
        let length = usize::try_from(length).ok()?;
        let message = answer.get(..length).filter(|m| m.len() >= MESSAGE_HEADER)?;
        answer = answer.get(length.next_multiple_of(ALIGNED)..).unwrap_or_default();
        Some(message)
    })
}

/// `struct nlmsghdr`.
const MESSAGE_HEADER: usize = 16;
/// Where a message's header has its flags.
const FLAGS: usize = 6;
/// `struct nfgenmsg`.
const FAMILY_HEADER: usize = 4;
/// `struct nlattr`.
const HEADER: usize = 4;
const ALIGNED: usize = 4;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `NLM_F_ACK`.
const ACKNOWLEDGE: u16 = 4;
/// `NLM_F_CREATE`.
const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`.
const APPEND: u16 = 0x800;
/// `NLMSG_ERROR`, which acknowledges, too.
const ERROR: u16 = 2;
/// `NFNL_MSG_BATCH_BEGIN`.
const BATCH_BEGIN: u16 = 16;
/// `NFNL_MSG_BATCH_END`.
const BATCH_END: u16 = 17;
/// `NFNL_SUBSYS_NFTABLES`.
const NFTABLES: u16 = 10;
/// `NFPROTO_UNSPEC`.
pub(super) const UNSPECIFIED: u8 = 0;
/// `NFPROTO_INET`: IPv4 and IPv6.
pub(super) const INET: u8 = 1;
/// `NFT_MSG_NEWGEN`.
pub(super) const NEW_GENERATION: u16 = 15;
/// The first attribute of tables, and of all that is in them, names the table.
const OWN_TABLE: u16 = 1;
/// `NFNETLINK_V0`.
const VERSION_0: u8 = 0;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

#[cfg(test)]
mod tests;
