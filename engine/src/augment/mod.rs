//! Augmentations: image and mask of a training sample changed together, the same way for the same key.
//!
//! | name | what | probability |
//! |---|---|---|
//! | `HorizontalFlip` | left and right swapped | 0.5 |
//! | `VerticalFlip` | top and bottom swapped | 0.5 |
//! | `RandomRotate90` | one of the four turns | 1 |
//! | `D4` | one of the eight symmetries of the square | 1 |
//! | `Blur` | mean over a box of 3, 5 or 7 pixels | 0.5 |
//! | `RandomBrightnessContrast` | contrast 0.8 to 1.2, brightness -0.2 to 0.2 | 0.5 |
//! | `MultiplicativeNoise` | each value times 0.9 to 1.1 | 0.5 |
//! | `Posterize` | 64 levels per channel | 1 |
//!
//! They are applied in the listed order. Where both flips and the turns are listed, they become one draw of `D4`
//! in place of the first of them: drawn apart, they would draw some symmetries more often than others.

mod error;
mod geometry;
mod key;
mod pixels;

pub use error::AugmentError;
pub use key::key;

use crate::folds::nearest::nearest;
use crate::rng::SplitMix64;
pub(crate) use geometry::Symmetry;

/// Channels, rows and columns of a sample.
pub type Shape = (usize, usize, usize);

/// One augmentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Augmentation {
    /// Left and right swapped, or not.
    HorizontalFlip,
    /// Top and bottom swapped, or not.
    VerticalFlip,
    /// Turned by 0, 90, 180 or 270 degrees.
    RandomRotate90,
    /// One of the eight symmetries of the square.
    D4,
    /// Mean over a box, or not.
    Blur,
    /// Brightness and contrast changed, or not.
    RandomBrightnessContrast,
    /// Each value changed by up to a tenth, or not.
    MultiplicativeNoise,
    /// Reduced to 64 levels.
    Posterize,
}

impl Augmentation {
    /// Every augmentation there is.
    pub const ALL: [Self; 8] = [
        Self::HorizontalFlip,
        Self::VerticalFlip,
        Self::RandomRotate90,
        Self::D4,
        Self::Blur,
        Self::RandomBrightnessContrast,
        Self::MultiplicativeNoise,
        Self::Posterize,
    ];

    /// The three that together are [`Augmentation::D4`].
    const TOGETHER_D4: [Self; 3] = [Self::HorizontalFlip, Self::VerticalFlip, Self::RandomRotate90];

    /// Its name in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HorizontalFlip => "HorizontalFlip",
            Self::VerticalFlip => "VerticalFlip",
            Self::RandomRotate90 => "RandomRotate90",
            Self::D4 => "D4",
            Self::Blur => "Blur",
            Self::RandomBrightnessContrast => "RandomBrightnessContrast",
            Self::MultiplicativeNoise => "MultiplicativeNoise",
            Self::Posterize => "Posterize",
        }
    }

    fn parse(name: &str) -> Result<Self, AugmentError> {
        Self::ALL.into_iter().find(|augmentation| augmentation.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name);
            AugmentError::Unknown {
                name: name.to_owned(),
                nearest: nearest(name, names).map(str::to_owned),
                known: names.join(", "),
            }
        })
    }

    /// Whether it moves pixels and leaves their values alone.
    fn moves(self) -> bool {
        matches!(self, Self::HorizontalFlip | Self::VerticalFlip | Self::RandomRotate90 | Self::D4)
    }

    fn turns(self) -> bool {
        matches!(self, Self::RandomRotate90 | Self::D4)
    }
}

/// Augmentations in their order of application. An empty one changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pipeline {
    steps: Vec<Augmentation>,
}

impl Pipeline {
    /// Reads names as a configuration lists them.
    ///
    /// # Errors
    /// [`AugmentError::Unknown`] with the nearest name.
    pub fn parse(names: &[String]) -> Result<Self, AugmentError> {
        let mut steps = names.iter().map(|name| Augmentation::parse(name)).collect::<Result<Vec<_>, _>>()?;
        let parts = Augmentation::TOGETHER_D4;
        if parts.iter().all(|part| steps.contains(part)) {
            let first = steps.iter().position(|step| parts.contains(step)).unwrap_or(0);
            steps[first] = Augmentation::D4;
            steps.retain(|step| !parts.contains(step));
        }
        Ok(Self { steps })
    }

    /// What is applied, in order.
    #[must_use]
    pub fn steps(&self) -> &[Augmentation] {
        &self.steps
    }

    /// Checks that samples of this size can be augmented; [`Pipeline::apply`] does so too.
    ///
    /// # Errors
    /// [`AugmentError::NotSquare`] if a turn is listed and the sides differ.
    pub fn check_size(&self, height: usize, width: usize) -> Result<(), AugmentError> {
        match self.steps.iter().find(|step| step.turns()) {
            Some(step) if height != width => {
                Err(AugmentError::NotSquare { augmentation: step.name(), height, width })
            }
            _ => Ok(()),
        }
    }

    /// Augments one sample in place; `key` (see [`key()`]) decides every draw.
    ///
    /// # Shapes
    /// - `image`: `[channels, height, width]`, row-major
    /// - `mask`: `[height, width]`, row-major
    ///
    /// # Errors
    /// [`AugmentError`] if the buffers do not hold the shape or a turn meets unequal sides; nothing is changed then.
    pub fn apply(
        &self,
        image: &mut [f32],
        mask: &mut [u8],
        shape: Shape,
        key: u64,
    ) -> Result<(), AugmentError> {
        let (channels, height, width) = shape;
        if image.len() != channels * height * width || mask.len() != height * width {
            let (image, mask) = (image.len(), mask.len());
            return Err(AugmentError::WrongLength { image, mask, channels, height, width });
        }
        self.check_size(height, width)?;
        let begun = self.begin(key);
        begun.first.apply(image, height, width);
        begun.first.apply(mask, height, width);
        begun.go_on(image, mask, height, width);
        Ok(())
    }

    /// Draws how the sample moves before anything else happens to it, so that it can move on its way to where it is wanted.
    pub(crate) fn begin(&self, key: u64) -> Begun<'_> {
        let mut random = SplitMix64::new(key);
        let mut first = Symmetry::IDENTITY;
        let moving = self.steps.iter().take_while(|step| step.moves()).count();
        let (moves, rest) = self.steps.split_at(moving);
        for step in moves {
            first = draw_symmetry(*step, &mut stream(&mut random)).map_or(first, |next| first.then(next));
        }
        Begun { first, rest, random }
    }
}

/// The draws of one sample, under way.
pub(crate) struct Begun<'a> {
    /// What the steps before the first that changes values come to.
    pub(crate) first: Symmetry,
    rest: &'a [Augmentation],
    random: SplitMix64,
}

impl Begun<'_> {
    /// Does to a sample that has moved by `first` what is left to do.
    pub(crate) fn go_on(mut self, image: &mut [f32], mask: &mut [u8], height: usize, width: usize) {
        for &step in self.rest {
            let mut draws = stream(&mut self.random);
            if let Some(symmetry) = draw_symmetry(step, &mut draws) {
                symmetry.apply(image, height, width);
                symmetry.apply(mask, height, width);
            } else {
                change_values(step, image, height, width, &mut draws);
            }
        }
    }
}

/// A step's own stream: how much it draws does not show in the next.
fn stream(random: &mut SplitMix64) -> SplitMix64 {
    SplitMix64::new(random.next_u64())
}

/// The symmetry a geometric step draws; `None` for the others.
fn draw_symmetry(step: Augmentation, draws: &mut SplitMix64) -> Option<Symmetry> {
    let or_not = |symmetry, draws: &mut SplitMix64| if draws.coin() { symmetry } else { Symmetry::of(0) };
    match step {
        Augmentation::HorizontalFlip => Some(or_not(Symmetry::HORIZONTAL_FLIP, draws)),
        Augmentation::VerticalFlip => Some(or_not(Symmetry::VERTICAL_FLIP, draws)),
        Augmentation::RandomRotate90 => Some(Symmetry::ROTATIONS[draws.nearly_below(4) as usize]),
        Augmentation::D4 => Some(Symmetry::of(draws.nearly_below(8) as u8)),
        Augmentation::Blur
        | Augmentation::RandomBrightnessContrast
        | Augmentation::MultiplicativeNoise
        | Augmentation::Posterize => None,
    }
}

fn change_values(step: Augmentation, image: &mut [f32], height: usize, width: usize, draws: &mut SplitMix64) {
    match step {
        Augmentation::Posterize => pixels::posterize(image, height, width),
        Augmentation::Blur if draws.coin() => pixels::blur(image, height, width, draws),
        Augmentation::RandomBrightnessContrast if draws.coin() => pixels::brightness_contrast(image, draws),
        Augmentation::MultiplicativeNoise if draws.coin() => pixels::multiplicative_noise(image, draws),
        _ => {} // the coin said no; geometric steps were drawn before
    }
}

#[cfg(test)]
mod tests;
