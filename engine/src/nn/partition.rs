//! Images cut into groups of pixels that attend to each other.

use burn::tensor::Tensor;

/// Which pixels of an image make a group of `side` x `side`.
///
/// # Sources
/// Tu et al. 2022, MaxViT, section 3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// Those that lie side by side: near ones.
    Windows {
        /// Height and width of a group.
        side: usize,
    },
    /// Those at the same place of each cell, the image being cut into `side` x `side` cells: far ones.
    Grid {
        /// Height and width of a group.
        side: usize,
    },
}

impl Partition {
    const fn side(self) -> usize {
        match self {
            Self::Windows { side } | Self::Grid { side } => side,
        }
    }

    /// # Shapes
    /// - `x`: `[batch, height, width, channels]`, height and width multiples of the side
    /// - returns `[batch * groups, side * side, channels]`
    pub fn part(self, x: Tensor<4>) -> Tensor<3> {
        let [batch, height, width, channels] = x.dims();
        let side = self.side();
        let (rows, columns) = (height / side, width / side);
        let parted = match self {
            Self::Windows { .. } => {
                x.reshape([batch, rows, side, columns, side, channels]).permute([0, 1, 3, 2, 4, 5])
            }
            Self::Grid { .. } => {
                x.reshape([batch, side, rows, side, columns, channels]).permute([0, 2, 4, 1, 3, 5])
            }
        };
        parted.reshape([batch * rows * columns, side * side, channels])
    }

    /// What [`Partition::part`] parted, in the shape it had.
    pub fn join(self, groups: Tensor<3>, shape: [usize; 4]) -> Tensor<4> {
        let [batch, height, width, channels] = shape;
        let side = self.side();
        let (rows, columns) = (height / side, width / side);
        let parted = groups.reshape([batch, rows, columns, side, side, channels]);
        let joined = match self {
            Self::Windows { .. } => parted.permute([0, 1, 3, 2, 4, 5]),
            Self::Grid { .. } => parted.permute([0, 3, 1, 4, 2, 5]),
        };
        joined.reshape(shape)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::backend::{BackendName, ComputeDevice};

    fn groups(partition: Partition) -> Vec<Vec<f32>> {
        let device = BackendName::best(ComputeDevice::Cpu).unwrap().device(ComputeDevice::Cpu).unwrap();
        // Pixels numbered row by row: 4 high, 6 wide.
        let values: Vec<f32> = (0_u8..24).map(f32::from).collect();
        let image = Tensor::<4>::from_data(TensorData::new(values, [1, 4, 6, 1]), &device);
        let parted = partition.part(image.clone());
        let joined = partition.join(parted.clone(), image.dims());
        assert_eq!(joined.into_data(), image.into_data());
        let values = parted.into_data().try_into_vec::<f32>().unwrap();
        values.chunks_exact(4).map(<[f32]>::to_vec).collect()
    }

    #[test]
    fn a_window_holds_neighbours() {
        let groups = groups(Partition::Windows { side: 2 });
        assert_eq!(groups.len(), 6);
        assert_eq!(groups[..2], [[0.0, 1.0, 6.0, 7.0], [2.0, 3.0, 8.0, 9.0]]);
        assert_eq!(groups[5], [16.0, 17.0, 22.0, 23.0]);
    }

    #[test]
    fn a_grid_holds_the_same_place_of_every_cell() {
        let groups = groups(Partition::Grid { side: 2 });
        assert_eq!(groups.len(), 6);
        assert_eq!(groups[..2], [[0.0, 3.0, 12.0, 15.0], [1.0, 4.0, 13.0, 16.0]]);
        assert_eq!(groups[5], [8.0, 11.0, 20.0, 23.0]);
    }
}
