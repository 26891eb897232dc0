//! The tokens of images, recordings and documents.

use super::image::Size;

/// How a family counts an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Images {
    /// Fitted into 2048 × 2048, its shorter side brought to 768, then so many tokens and so many for each tile of 512.
    Tiles { base: u64, tile: u64 },
    /// Patches of 32 × 32, at most 1,536 of them, each so many thousandths of a token.
    Patches { permille: u64 },
    /// A token for every 750 pixels, after it was fitted into 1568 × 1568; at most 1,600.
    Area,
    /// 258; when it is larger than 384 × 384, 258 for each tile and for the whole.
    Gemini,
    /// As many whatever the size.
    Flat(u64),
    /// Squares of so many pixels, a token each and one for each row, after it was fitted into so many.
    Squares { side: u32, longest: u32 },
}

/// An image's tokens, and how many more there may be because nobody has seen it.
pub(super) fn image(images: Images, size: Option<Size>, detail: Option<&str>) -> (u64, u64) {
    // Of an image that is elsewhere nothing is known; many are about as large as a screenshot.
    const UNSEEN: Size = (1024, 1024);
    const LARGEST: Size = (2048, 1024);
    match size {
        Some(size) => (images.count(size, detail), 0),
        None => {
            let tokens = images.count(UNSEEN, detail);
            (tokens, images.count(LARGEST, detail).saturating_sub(tokens))
        }
    }
}

impl Images {
    fn count(self, (width, height): Size, detail: Option<&str>) -> u64 {
        let (width, height) = (u64::from(width.max(1)), u64::from(height.max(1)));
        match self {
            Self::Tiles { base, .. } if detail == Some("low") => base,
            Self::Tiles { base, tile } => {
                let (width, height) = shrink_long(width, height, 2048);
                let (width, height) = shrink_short(width, height, 768);
                base + tile * width.div_ceil(512) * height.div_ceil(512)
            }
            Self::Patches { permille } => {
                let patches = (width.div_ceil(32) * height.div_ceil(32)).min(1_536);
                (patches * permille).div_ceil(1_000)
            }
            Self::Area => {
                let (width, height) = shrink_long(width, height, 1_568);
                (width * height).div_ceil(750).min(1_600)
            }
            Self::Gemini if width <= 384 && height <= 384 => 258,
            Self::Gemini => {
                let side = (width.min(height) * 2 / 3).clamp(256, 768);
                258 * (width.div_ceil(side) * height.div_ceil(side) + 1)
            }
            Self::Flat(tokens) => tokens,
            Self::Squares { side, longest } => {
                let (width, height) = shrink_long(width, height, longest.into());
                let (columns, rows) = (width.div_ceil(side.into()), height.div_ceil(side.into()));
                columns * rows + rows
            }
        }
    }
}

/// Made smaller so that the longer side is at most `most`.
fn shrink_long(width: u64, height: u64, most: u64) -> (u64, u64) {
    shrink(width, height, width.max(height), most)
}

/// Made smaller so that the shorter side is at most `most`.
fn shrink_short(width: u64, height: u64, most: u64) -> (u64, u64) {
    shrink(width, height, width.min(height), most)
}

fn shrink(width: u64, height: u64, side: u64, most: u64) -> (u64, u64) {
    if side <= most {
        return (width, height);
    }
    // Sides of an image are 32 bits, so the products fit.
    ((width * most / side).max(1), (height * most / side).max(1))
}

/// A recording of so many bytes: 16,000 a second compressed, 32,000 as plain samples.
pub(super) fn recording(base64: &str, format: &str, a_second: u64) -> u64 {
    let bytes = base64.len() as u64 / 4 * 3;
    let pace = if matches!(format, "wav" | "pcm16" | "pcm" | "aiff") { 32_000 } else { 16_000 };
    (bytes * a_second).div_ceil(pace).max(1)
}

/// A document of so many bytes. What is in it is compressed, so this is the roughest guess of all: a page for every
/// 30 KB, and 2,000 tokens a page.
pub(super) fn document(base64: Option<&str>) -> u64 {
    let bytes = base64.map_or(0, |data| data.len() as u64 / 4 * 3);
    2_000 * bytes.div_ceil(30_000).max(1)
}
