//! What a picture's first bytes say about it.

/// The format and size of a picture, by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) media_type: &'static str,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Reads the header of a PNG, JPEG or WebP file; `None` if it is none of them.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    png(bytes).or_else(|| jpeg(bytes)).or_else(|| webp(bytes))
}

/// PNG specification, sections 5.2 and 11.2.1.
fn png(bytes: &[u8]) -> Option<Header> {
    let rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    if rest.get(4..8)? != b"IHDR" {
        return None;
    }
    let number = |at: usize| Some(u32::from_be_bytes(rest.get(at..at + 4)?.try_into().ok()?));
    Some(Header { media_type: "image/png", width: number(8)?, height: number(12)? })
}

/// ITU-T T.81, section B.2.2: the size stands in the start-of-frame segment.
fn jpeg(bytes: &[u8]) -> Option<Header> {
    let mut rest = bytes.strip_prefix(b"\xff\xd8")?;
    loop {
        let (marker, behind) = match rest {
            [0xff, 0xff, ..] => {
                rest = &rest[1..];
                continue;
            }
            [0xff, marker, behind @ ..] => (*marker, behind),
            _ => return None,
        };
        let number = |at: usize| Some(u16::from_be_bytes([*behind.get(at)?, *behind.get(at + 1)?]));
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            return Some(Header {
                media_type: "image/jpeg",
                width: number(5)?.into(),
                height: number(3)?.into(),
            });
        }
        rest = behind.get(usize::from(number(0)?)..)?;
    }
}

/// RFC 9649, sections 2.4 to 2.7.
fn webp(bytes: &[u8]) -> Option<Header> {
    if bytes.get(0..4)? != b"RIFF" || bytes.get(8..12)? != b"WEBP" {
        return None;
    }
    let data = bytes.get(20..)?;
    let short = |at: usize| Some(u32::from(u16::from_le_bytes([*data.get(at)?, *data.get(at + 1)?])));
    let long = |at: usize| Some(short(at)? | (u32::from(*data.get(at + 2)?) << 16));
    let (width, height) = match bytes.get(12..16)? {
        b"VP8 " => (short(6)? & 0x3fff, short(8)? & 0x3fff),
        b"VP8L" => {
            let bits = short(1)? | (short(3)? << 16);
            ((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1)
        }
        b"VP8X" => (long(4)? + 1, long(7)? + 1),
        _ => return None,
    };
    Some(Header { media_type: "image/webp", width, height })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_tells_its_size() {
        let png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x05\x00\x00\x00\x03\x20";
        assert_eq!(header(png), Some(Header { media_type: "image/png", width: 1280, height: 800 }));
        let jpeg = b"\xff\xd8\xff\xe0\x00\x04xx\xff\xff\xc2\x00\x0b\x08\x03\x20\x05\x00\x03";
        assert_eq!(header(jpeg), Some(Header { media_type: "image/jpeg", width: 1280, height: 800 }));
        let lossy = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\x00\x00\x00\x9d\x01\x2a\x00\x05\x20\x03";
        assert_eq!(header(lossy), Some(Header { media_type: "image/webp", width: 1280, height: 800 }));
        let lossless = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\xff\xc4\xc7\x00";
        assert_eq!(header(lossless), Some(Header { media_type: "image/webp", width: 1280, height: 800 }));
        let extended = b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\x00\x00\x00\x00\xff\x04\x00\x1f\x03\x00";
        assert_eq!(header(extended), Some(Header { media_type: "image/webp", width: 1280, height: 800 }));
    }

    #[test]
    fn what_is_no_picture_or_ends_early_has_no_header() {
        for bytes in
            [&b""[..], b"GIF89a", b"\x89PNG\r\n\x1a\n\x00", b"\xff\xd8", b"\xff\xd8\xff\xe0\xff\xff", b"RIFF"]
        {
            assert_eq!(header(bytes), None, "{bytes:?}");
        }
    }
}
