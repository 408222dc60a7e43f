//! Digits written in place.

/// Writes the last decimal digits of `value`, as many as there is room for.
#[inline]
pub(super) fn decimal(out: &mut [u8], mut value: u64) {
    for place in out.iter_mut().rev() {
        *place = b'0' + u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
    }
}

/// Writes the last hexadecimal digits of `value`, as many as there is room for.
#[inline]
pub(super) fn hex(out: &mut [u8], mut value: u64) {
    for place in out.iter_mut().rev() {
        *place = b"0123456789abcdef"[usize::try_from(value & 15).unwrap_or_default()];
        value >>= 4;
    }
}
