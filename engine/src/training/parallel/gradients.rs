//! Gradients of all ranks, averaged in buckets.

use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};

use super::{Exchange, ExchangeError};

/// Bytes of the first bucket. The last layers' gradients are in it.
const FIRST_BUCKET_BYTES: usize = 1 << 20;
/// Bytes of the others.
///
/// # Sources
/// PyTorch: `_DEFAULT_FIRST_BUCKET_BYTES` and `bucket_cap_mb=25` of `DistributedDataParallel`.
const BUCKET_BYTES: usize = 25 << 20;
/// Bytes of a value. Everything trained here is single precision.
const VALUE_BYTES: usize = size_of::<f32>();

/// One parameter's gradient, flat, under way between a module and an exchange.
#[derive(Debug)]
struct Piece {
    id: ParamId,
    values: usize,
    device: Device,
    gradient: Option<Tensor<1>>,
}

/// The gradients of one step of this rank, about to be averaged with the others'.
///
/// Two exchanges: [`Sharing::agree`] tells which parameters have a gradient anywhere, [`Sharing::average`] averages
/// those. A parameter that no rank used keeps no gradient, so that the optimizer leaves it alone, decay and step count
/// included; one that some rank used gets the mean, to which the others give zero.
#[derive(Debug)]
pub struct Sharing {
    pieces: Vec<Piece>,
}

impl Sharing {
    /// Takes the gradients of the module's parameters out of `gradients`.
    pub fn of<M: Module>(module: &M, gradients: GradientsParams) -> Self {
        let mut take = Take { gradients, pieces: Vec::new() };
        module.visit(&mut take);
        Self { pieces: take.pieces }
    }

    /// One sum over all ranks of what they want to know of each other and of which parameters each has used. Every
    /// question is answered by how many ranks say yes.
    ///
    /// # Errors
    /// As for [`Exchange::sum`].
    pub fn agree<const N: usize>(
        &mut self,
        exchange: &dyn Exchange,
        questions: [bool; N],
    ) -> Result<[usize; N], ExchangeError> {
        if exchange.world() == 1 {
            return Ok(questions.map(usize::from));
        }
        let used = self.pieces.iter().map(|piece| piece.gradient.is_some());
        let mut votes: Vec<f64> =
            questions.into_iter().chain(used).map(|yes| f64::from(u8::from(yes))).collect();
        exchange.sum(&mut votes)?;
        for (piece, votes) in self.pieces.iter_mut().zip(&votes[N..]) {
            if piece.gradient.is_none() && *votes > 0.0 {
                piece.gradient = Some(Tensor::zeros([piece.values], &piece.device));
            }
        }
        // A count of ranks is a small whole number.
        Ok(std::array::from_fn(|question| votes[question] as usize))
    }

    /// The means over all ranks; call [`Sharing::agree`] before.
    ///
    /// # Errors
    /// As for [`Exchange::mean`].
    pub fn average<M: Module>(
        mut self,
        exchange: &dyn Exchange,
        module: &M,
    ) -> Result<GradientsParams, ExchangeError> {
        if exchange.world() > 1 {
            self.average_pieces(exchange)?;
        }
        let flat = self.pieces.into_iter().filter_map(|piece| Some((piece.id, piece.gradient?))).collect();
        let mut put = PutBack { flat, gradients: GradientsParams::new() };
        module.visit(&mut put);
        Ok(put.gradients)
    }

    fn average_pieces(&mut self, exchange: &dyn Exchange) -> Result<(), ExchangeError> {
        let sizes: Vec<usize> =
            self.pieces.iter().map(|piece| piece.gradient.as_ref().map_or(0, |_| piece.values)).collect();
        let buckets = buckets(&sizes);
        let mut flats = Vec::with_capacity(buckets.len());
        for bucket in &buckets {
            let gradients = bucket.iter().filter_map(|at| self.pieces[*at].gradient.take()).collect();
            flats.push(Tensor::cat(gradients, 0));
        }
        for (bucket, mean) in buckets.iter().zip(exchange.mean(flats)?) {
            let mut first = 0;
            for at in bucket {
                let piece = &mut self.pieces[*at];
                let range = first..first + piece.values;
                first = range.end;
                piece.gradient = Some(mean.clone().slice([range]));
            }
        }
        Ok(())
    }
}

/// The means over all ranks of a module's gradients.
///
/// # Errors
/// As for [`Exchange::sum`].
pub fn mean_gradients<M: Module>(
    exchange: &dyn Exchange,
    module: &M,
    gradients: GradientsParams,
) -> Result<GradientsParams, ExchangeError> {
    if exchange.world() == 1 {
        return Ok(gradients);
    }
    let mut sharing = Sharing::of(module, gradients);
    let [] = sharing.agree(exchange, [])?;
    sharing.average(exchange, module)
}

/// Which sizes go together: the last first, as a backward pass finishes them; nothing of size 0. A bucket is closed once
/// it is full, so that no parameter is cut.
fn buckets(sizes: &[usize]) -> Vec<Vec<usize>> {
    let mut buckets: Vec<Vec<usize>> = Vec::new();
    // None is open at first.
    let (mut bytes, mut limit) = (usize::MAX, FIRST_BUCKET_BYTES);
    for (at, size) in sizes.iter().enumerate().rev().filter(|(_, size)| **size > 0) {
        if bytes >= limit {
            limit = if buckets.is_empty() { FIRST_BUCKET_BYTES } else { BUCKET_BYTES };
            buckets.push(Vec::new());
            bytes = 0;
        }
        bytes += size * VALUE_BYTES;
        buckets.last_mut().into_iter().for_each(|bucket| bucket.push(at));
    }
    buckets
}

struct Take {
    gradients: GradientsParams,
    pieces: Vec<Piece>,
}

impl ModuleVisitor for Take {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if !value.is_require_grad() {
            return;
        }
        let values = value.dims().iter().product();
        let gradient = self.gradients.remove::<D>(param.id).map(|gradient| gradient.reshape([values]));
        let device = value.device().without_autodiff();
        self.pieces.push(Piece { id: param.id, values, device, gradient });
    }
}

struct PutBack {
    flat: HashMap<ParamId, Tensor<1>>,
    gradients: GradientsParams,
}

impl ModuleVisitor for PutBack {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.flat.remove(&param.id) {
            self.gradients.register(param.id, gradient.reshape(param.val().dims()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn buckets_fill_from_the_last_parameter_on() {
        let values = |mib: usize| mib * MIB / VALUE_BYTES;
        // 1 MiB closes the first, 25 MiB each of the others.
        assert_eq!(buckets(&[values(20), values(5), values(1), 10, 0, 20]), [vec![5, 3, 2], vec![1, 0]]);
        assert_eq!(buckets(&[9, values(20), values(6), values(1)]), [vec![3], vec![2, 1], vec![0]]);
        assert_eq!(buckets(&[7, values(60), 5, values(2)]), [vec![3], vec![2, 1], vec![0]]);
        assert_eq!(buckets(&[0, 0]), Vec::<Vec<usize>>::new());
    }
}
