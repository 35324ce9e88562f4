//! Content codings, undone piece by piece so that each flush of the server comes out at once.
//!
//! A piece of output is at most [`PIECE_BYTES`], however much the input would become: the output of a decompression
//! bomb passes through one small buffer, and the decoder's limits see it piece by piece. What a coding itself may
//! hold is stated at [`Encoding`].

use std::fmt;
use std::io;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

const PIECE_BYTES: usize = 16 * 1024;

/// Content coding in which the server may send the stream. Each variant exists with the feature of its name.
///
/// The memory is held for as long as a connection is open.
///
/// ```
/// # #[cfg(feature = "gzip")] {
/// use bellwether_client::{Encoding, EventSource};
///
/// let source = EventSource::builder("https://example.com/prices")
///     .accept_encodings([Encoding::Gzip])
///     .build()?;
/// # }
/// # Ok::<(), bellwether_client::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// `gzip`. Holds about 48 KiB.
    #[cfg(feature = "gzip")]
    Gzip,
    /// `deflate`, with the header of zlib or, as some servers have it, without; feature `gzip`. Holds about 48 KiB.
    #[cfg(feature = "gzip")]
    Deflate,
    /// `br`. Holds as much as the server's window, at most 16 MiB.
    #[cfg(feature = "brotli")]
    Brotli,
    /// `zstd`. Holds as much as the server's window, at most 8 MiB (RFC 9659), and 128 KiB.
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Encoding {
    /// All that are compiled in.
    const ALL: &[Self] = &[
        #[cfg(feature = "gzip")]
        Self::Gzip,
        #[cfg(feature = "gzip")]
        Self::Deflate,
        #[cfg(feature = "brotli")]
        Self::Brotli,
        #[cfg(feature = "zstd")]
        Self::Zstd,
    ];

    /// The name in header fields.
    pub fn as_str(self) -> &'static str {
        match self {
            #[cfg(feature = "gzip")]
            Self::Gzip => "gzip",
            #[cfg(feature = "gzip")]
            Self::Deflate => "deflate",
            #[cfg(feature = "brotli")]
            Self::Brotli => "br",
            #[cfg(feature = "zstd")]
            Self::Zstd => "zstd",
        }
    }
}

/// How a body is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Plain,
    Coded(Encoding),
    /// None that is compiled in, or several on top of each other.
    Unknown,
}

/// The coding that a response names.
///
/// It need not have been asked for: a request without `Accept-Encoding` accepts any (RFC 9110, section 12.5.3), and some
/// proxies make use of that.
pub(crate) fn coding(headers: &HeaderMap) -> Coding {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let (value, more) = (values.next(), values.next());
    let name = value.map_or(&b""[..], |value| value.as_bytes().trim_ascii());
    if more.is_some() {
        return Coding::Unknown;
    }
    if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
        return Coding::Plain;
    }
    // An old name of gzip (RFC 9110, section 8.4.1.3).
    let name = match name.eq_ignore_ascii_case(b"x-gzip") {
        true => b"gzip",
        false => name,
    };
    let mut known = Encoding::ALL.iter();
    known
        .find(|encoding| name.eq_ignore_ascii_case(encoding.as_str().as_bytes()))
        .map_or(Coding::Unknown, |encoding| Coding::Coded(*encoding))
}

/// Undoes one coding for one body.
pub(crate) struct Decompressor {
    codec: Box<dyn Codec>,
    output: Box<[u8]>,
    /// The unread part of `output`.
    unread: std::ops::Range<usize>,
    /// The codec may have more to give without further input.
    is_full: bool,
    /// Nothing has come yet.
    is_new: bool,
}

/// One step of a coding: from the front of the input to the front of the output, as far as either reaches.
trait Codec: Send {
    /// Returns how much was taken and how much was given.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<(usize, usize)>;

    /// Whether the coding's own end has come, so that the body may end here.
    fn is_whole(&self) -> bool;
}

impl Decompressor {
    // Without a coding compiled in there is no encoding to call this with, and the compiler sees that.
    #[allow(unreachable_code, unused_variables)]
    pub(crate) fn new(encoding: Encoding) -> io::Result<Self> {
        let codec: Box<dyn Codec> = match encoding {
            #[cfg(feature = "gzip")]
            Encoding::Gzip => Box::new(deflate::Zlib::gzip()),
            #[cfg(feature = "gzip")]
            Encoding::Deflate => Box::new(deflate::Zlib::deflate()),
            #[cfg(feature = "brotli")]
            Encoding::Brotli => Box::new(brotli::Brotli::new()),
            #[cfg(feature = "zstd")]
            Encoding::Zstd => Box::new(zstandard::Zstd::new()?),
        };
        Ok(Self {
            codec,
            output: vec![0; PIECE_BYTES].into(),
            unread: 0..0,
            is_full: false,
            is_new: true,
        })
    }

    /// What has come out and was not read yet.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.output[self.unread.clone()]
    }

    pub(crate) fn consume(&mut self, bytes: usize) {
        self.unread.start = (self.unread.start + bytes).min(self.unread.end);
    }

    /// Whether a further step can give something, with this many bytes of input at hand.
    pub(crate) fn can_step(&self, input: usize) -> bool {
        input > 0 || self.is_full
    }

    /// Takes from `input` and fills the output again; returns how much was taken.
    ///
    /// # Errors
    ///
    /// The bytes are not of this coding.
    pub(crate) fn step(&mut self, input: &[u8]) -> io::Result<usize> {
        let (taken, given) = self.codec.step(input, &mut self.output)?;
        self.is_new &= input.is_empty();
        self.unread = 0..given;
        self.is_full = given == self.output.len();
        if taken == 0 && given == 0 && !input.is_empty() {
            return Err(broken("bytes follow its end"));
        }
        Ok(taken)
    }
}

impl Decompressor {
    /// Takes the end of the body.
    ///
    /// # Errors
    ///
    /// The coding has not come to its end: the body was cut, even if a proxy made a clean end of it.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match self.is_new || self.codec.is_whole() {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the body ends before its compression does",
            )),
        }
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(feature = "gzip")]
mod deflate {
    use flate2::{Decompress, FlushDecompress, Status};

    use super::*;

    /// The largest window of deflate, 32 KiB, as a power of two.
    const WINDOW_BITS: u8 = 15;

    pub(super) struct Zlib {
        /// `None` until the first byte of `deflate` has told whether there is a header.
        stream: Option<Decompress>,
        is_gzip: bool,
        has_ended: bool,
    }

    impl Zlib {
        pub(super) fn gzip() -> Self {
            Self {
                stream: Some(Decompress::new_gzip(WINDOW_BITS)),
                is_gzip: true,
                has_ended: false,
            }
        }

        pub(super) fn deflate() -> Self {
            Self {
                stream: None,
                is_gzip: false,
                has_ended: false,
            }
        }
    }

    impl Codec for Zlib {
        fn step(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<(usize, usize)> {
            if self.has_ended && self.is_gzip && !input.is_empty() {
                // A further member (RFC 1952, section 2.2).
                *self = Self::gzip();
            }
            if self.has_ended {
                return Ok((0, 0));
            }
            let stream = match (&mut self.stream, input.first()) {
                (Some(stream), _) => stream,
                (None, None) => return Ok((0, 0)),
                // The low half of zlib's first byte is 8 (RFC 1950, section 2.2).
                (empty, Some(first)) => empty.insert(Decompress::new(first & 0x0f == 8)),
            };
            let (read, written) = (stream.total_in(), stream.total_out());
            let status = stream
                .decompress(input, output, FlushDecompress::Sync)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            self.has_ended = status == Status::StreamEnd;
            let count = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
            Ok((
                count(stream.total_in(), read),
                count(stream.total_out(), written),
            ))
        }

        fn is_whole(&self) -> bool {
            self.has_ended
        }
    }
}

#[cfg(feature = "brotli")]
mod brotli {
    use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

    use super::*;

    pub(super) struct Brotli {
        state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
        has_ended: bool,
    }

    impl Brotli {
        pub(super) fn new() -> Self {
            // Not `new`, which lets the server choose a window of a gigabyte.
            let state = BrotliState::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            );
            Self {
                state: Box::new(state),
                has_ended: false,
            }
        }
    }

    impl Codec for Brotli {
        fn step(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<(usize, usize)> {
            if self.has_ended {
                return Ok((0, 0));
            }
            let (mut taken, mut given) = (0, 0);
            let (mut left, mut room) = (input.len(), output.len());
            let result = BrotliDecompressStream(
                &mut left,
                &mut taken,
                input,
                &mut room,
                &mut given,
                output,
                &mut 0,
                &mut self.state,
            );
            match result {
                BrotliResult::ResultFailure => return Err(broken("it is no brotli")),
                BrotliResult::ResultSuccess => self.has_ended = true,
                BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
            }
            Ok((taken, given))
        }

        fn is_whole(&self) -> bool {
            self.has_ended
        }
    }
}

#[cfg(feature = "zstd")]
mod zstandard {
    use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

    use super::*;

    /// 8 MiB, the most that `Content-Encoding: zstd` may ask for (RFC 9659).
    const WINDOW_LOG_MAX: u32 = 23;

    pub(super) struct Zstd {
        decoder: Decoder<'static>,
        /// Between two frames.
        is_whole: bool,
    }

    impl Zstd {
        pub(super) fn new() -> io::Result<Self> {
            let mut decoder = Decoder::new()?;
            decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
            Ok(Self {
                decoder,
                is_whole: false,
            })
        }
    }

    impl Codec for Zstd {
        /// At the end of a frame the next one follows directly: broadcasts are sent as one frame for each event.
        fn step(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<(usize, usize)> {
            let mut input = InBuffer::around(input);
            let mut output = OutBuffer::around(output);
            // It says how many bytes it would like to have next: none once a frame is complete.
            let wanted = self.decoder.run(&mut input, &mut output)?;
            // Asked without input between two frames, it wants the next one.
            if input.pos() + output.pos() > 0 {
                self.is_whole = wanted == 0;
            }
            Ok((input.pos(), output.pos()))
        }

        fn is_whole(&self) -> bool {
            self.is_whole
        }
    }
}

#[cfg(all(test, feature = "gzip"))]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Feeds pieces of `size` bytes and returns all that comes out after each of `parts`.
    fn inflate(encoding: Encoding, parts: &[Vec<u8>], size: usize) -> Vec<Vec<u8>> {
        let mut decompressor = Decompressor::new(encoding).unwrap();
        let mut all = Vec::new();
        for part in parts {
            let mut output = Vec::new();
            for mut piece in part.chunks(size) {
                while decompressor.can_step(piece.len()) {
                    let taken = decompressor.step(piece).unwrap();
                    piece = &piece[taken..];
                    output.extend_from_slice(decompressor.unread());
                }
            }
            all.push(output);
        }
        all
    }

    fn gzip_parts(texts: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        texts
            .iter()
            .map(|text| {
                encoder.write_all(text).unwrap();
                encoder.flush().unwrap();
                std::mem::take(encoder.get_mut())
            })
            .collect()
    }

    #[test]
    fn every_flush_comes_out_at_once_however_the_bytes_are_cut() {
        let long = vec![b'x'; 100_000];
        let texts: [&[u8]; 3] = [b"data: 1\n\n", b"data: 2\n\n", &long];
        for size in [1, 3, usize::MAX] {
            assert_eq!(inflate(Encoding::Gzip, &gzip_parts(&texts), size), texts);
        }
    }

    #[test]
    fn deflate_is_read_with_the_header_of_zlib_and_without() {
        use flate2::{Compression, write::DeflateEncoder, write::ZlibEncoder};

        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(b"data: 1\n\n").unwrap();
        raw.write_all(b"data: 1\n\n").unwrap();
        for coded in [zlib.finish().unwrap(), raw.finish().unwrap()] {
            assert_eq!(inflate(Encoding::Deflate, &[coded], 1), [b"data: 1\n\n"]);
        }
    }

    #[cfg(feature = "brotli")]
    #[test]
    fn what_few_bytes_grow_into_comes_out_whole_without_further_bytes() {
        // 1 MiB of one letter, as the crate `brotli` writes it with quality 5 and a flush.
        let coded = b"\xab\xff\xff\x07\x40\x02\x2f\x1e\x0b\x24\xf7\xfe\xc1\x00";
        let all = inflate(Encoding::Brotli, &[coded.to_vec()], usize::MAX);
        assert_eq!(all[0].len(), 1 << 20);
    }

    #[test]
    fn members_of_gzip_follow_each_other() {
        let member = |text: &[u8]| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        let both = [member(b"one"), member(b"two")].concat();
        assert_eq!(inflate(Encoding::Gzip, &[both], 5), [b"onetwo"]);
    }

    #[test]
    fn what_is_not_of_the_coding_is_an_error() {
        let mut decompressor = Decompressor::new(Encoding::Gzip).unwrap();
        assert!(decompressor.step(b"data: 1\n\n").is_err());
    }

    #[test]
    fn the_coding_is_found_by_its_name() {
        let named = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, http::HeaderValue::from_static(value));
            coding(&headers)
        };
        assert_eq!(named("GZIP"), Coding::Coded(Encoding::Gzip));
        assert_eq!(named("x-gzip"), Coding::Coded(Encoding::Gzip));
        assert_eq!(named("deflate"), Coding::Coded(Encoding::Deflate));
        assert_eq!(named("identity"), Coding::Plain);
        assert_eq!(coding(&HeaderMap::new()), Coding::Plain);
        for unknown in ["compress", "gzip, gzip", "dcb"] {
            assert_eq!(named(unknown), Coding::Unknown, "{unknown}");
        }
    }
}
