//! Rank 0's weights and buffers, for everybody.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

use super::{Exchange, ExchangeError, gather};
use crate::nn::kernels::laid_out;

/// The module with rank 0's values in every tensor: what training begins with.
///
/// # Errors
/// [`ExchangeError::OtherModel`] if the ranks do not have the same tensors; else as for [`Exchange::spread`].
pub fn share_weights<M: Module>(exchange: &dyn Exchange, module: M) -> Result<M, ExchangeError> {
    if exchange.world() == 1 {
        return Ok(module);
    }
    let flat = flatten(&module, Which::All);
    let values: usize = flat.iter().map(|tensor| tensor.dims()[0]).sum();
    let shapes = gather(exchange, [flat.len() as f64, values as f64])?;
    if let Some((rank, other)) = shapes.iter().enumerate().find(|(_, shape)| **shape != shapes[0]) {
        let [[our_tensors, ours], [their_tensors, theirs]] =
            [shapes[0], *other].map(|pair| pair.map(|n| n as u64));
        return Err(ExchangeError::OtherModel { rank, theirs, their_tensors, ours, our_tensors });
    }
    share(exchange, module, flat, Which::All)
}

/// The module with rank 0's values in every tensor that is not trained: running statistics, of which each rank has its
/// own while it trains, and rank 0's are the run's.
///
/// # Errors
/// As for [`Exchange::spread`].
pub fn share_buffers<M: Module>(exchange: &dyn Exchange, module: M) -> Result<M, ExchangeError> {
    if exchange.world() == 1 {
        return Ok(module);
    }
    let flat = flatten(&module, Which::Buffers);
    if flat.is_empty() {
        return Ok(module);
    }
    share(exchange, module, flat, Which::Buffers)
}

fn share<M: Module>(
    exchange: &dyn Exchange,
    module: M,
    flat: Vec<Tensor<1>>,
    which: Which,
) -> Result<M, ExchangeError> {
    // One tensor travels: many small ones would each wait for the network.
    let flat = exchange.spread(vec![Tensor::cat(flat, 0)])?;
    match flat.into_iter().next() {
        // Rank 0 has got its own.
        Some(flat) if exchange.rank() > 0 => Ok(module.map(&mut Fill { which, flat, next: 0 })),
        _ => Ok(module),
    }
}

/// Which tensors of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    Buffers,
}

impl Which {
    fn holds<const D: usize>(self, tensor: &Tensor<D>) -> bool {
        self == Self::All || !tensor.is_require_grad()
    }
}

fn flatten<M: Module>(module: &M, which: Which) -> Vec<Tensor<1>> {
    let mut flatten = Flatten { which, flat: Vec::new() };
    module.visit(&mut flatten);
    flatten.flat
}

struct Flatten {
    which: Which,
    flat: Vec<Tensor<1>>,
}

impl ModuleVisitor for Flatten {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        if self.which.holds(&tensor) {
            let values: usize = tensor.dims().iter().product();
            self.flat.push(tensor.without_autodiff().reshape([values]));
        }
    }
}

struct Fill {
    which: Which,
    flat: Tensor<1>,
    next: usize,
}

impl ModuleMapper for Fill {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !self.which.holds(&param.val()) {
            return param;
        }
        param.map(|old| {
            let shape = old.dims();
            let range = self.next..self.next + shape.iter().product::<usize>();
            self.next = range.end;
            // A copy of its own: a slice would keep all the others alive.
            let new = laid_out(self.flat.clone().slice([range]).mul_scalar(1.0).reshape(shape));
            match (old.is_autodiff(), old.is_require_grad()) {
                (true, true) => new.autodiff().require_grad(),
                (true, false) => new.autodiff(),
                (false, _) => new,
            }
        })
    }
}
