//! The slots of a Redis Cluster, <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.

/// Number of slots, over which all keys are spread.
pub const SLOTS: u16 = 16_384;

/// The polynomial of CRC16/XMODEM.
const POLYNOMIAL: u16 = 0x1021;
/// The checksums of all bytes.
const CHECKSUMS: [u16; 256] = checksums();

const fn checksums() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte: u16 = 0;
    while byte < 256 {
        let mut checksum = byte << 8;
        let mut bit = 0;
        while bit < 8 {
            let is_set = checksum & 0x8000 != 0;
            checksum <<= 1;
            if is_set {
                checksum ^= POLYNOMIAL;
            }
            bit += 1;
        }
        table[byte as usize] = checksum;
        byte += 1;
    }
    table
}

/// Returns the slot of a key.
#[must_use]
pub fn slot_of(key: &[u8]) -> u16 {
    let add =
        |checksum: u16, byte: &u8| (checksum << 8) ^ CHECKSUMS[usize::from(checksum.to_be_bytes()[0] ^ byte)];
    hashed(key).iter().fold(0, add) % SLOTS
}

/// Returns the part of a key that decides: what is between the first `{` and the next `}`, unless that is empty.
fn hashed(key: &[u8]) -> &[u8] {
    let position = |bytes: &[u8], wanted| bytes.iter().position(|byte| *byte == wanted);
    let tag = position(key, b'{').and_then(|open| {
        let rest = &key[open + 1..];
        Some(&rest[..position(rest, b'}')?])
    });
    tag.filter(|tag| !tag.is_empty()).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slots_are_those_of_the_specification() {
        for (key, slot) in [("123456789", 0x31c3), ("foo", 12_182), ("bar", 5_061), ("", 0)] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
    }

    #[test]
    fn a_tag_decides_alone() {
        for (key, hashed) in [
            ("{user1000}.following", "user1000"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("foo{bar", "foo{bar"),
            ("}foo{bar}", "bar"),
        ] {
            assert_eq!(slot_of(key.as_bytes()), slot_of(hashed.as_bytes()), "{key}");
            assert_eq!(super::hashed(key.as_bytes()), hashed.as_bytes(), "{key}");
        }
    }
}
