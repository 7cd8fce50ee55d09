//! Exchange over torch's own process groups.

#![expect(deprecated, reason = "burn 0.22 is the last with libtorch; docs/decisions says why we stay")]

use burn::tensor::Tensor;
use burn_tch::{LibTorch, TchTensor};
use engine_devices::c10d::{Group, Op, Rendezvous, Transport};
use engine_devices::rank::Rank;

use super::{Exchange, ExchangeError};
use crate::backend::ComputeDevice;

/// Exchange over libtorch's c10d: Gloo between processors, NCCL between GPUs where this build has it.
#[derive(Debug)]
pub struct C10d {
    /// Over Gloo always: sums of host numbers must not wait for a GPU.
    host: Group,
    /// Where tensors travel in another way.
    device: Option<Group>,
}

impl C10d {
    /// Meets the other ranks.
    ///
    /// # Errors
    /// [`ExchangeError::Group`] if one of them does not come.
    pub fn join(rank: &Rank, device: ComputeDevice) -> Result<Self, ExchangeError> {
        let rendezvous = Rendezvous::open(rank)?;
        let host = rendezvous.group("host", Transport::Gloo)?;
        let transport = match device {
            ComputeDevice::Gpu(index) => Transport::for_cuda(index),
            ComputeDevice::Cpu | ComputeDevice::Mps => Transport::Gloo,
        };
        let device = match transport {
            Transport::Gloo => None,
            Transport::Nccl { .. } => Some(rendezvous.group("device", transport)?),
        };
        Ok(Self { host, device })
    }

    fn for_tensors(&self) -> &Group {
        self.device.as_ref().unwrap_or(&self.host)
    }
}

impl Exchange for C10d {
    fn rank(&self) -> usize {
        self.host.rank().rank as usize
    }

    fn world(&self) -> usize {
        self.host.rank().world_size as usize
    }

    fn sum(&self, values: &mut [f64]) -> Result<(), ExchangeError> {
        if values.is_empty() {
            return Ok(());
        }
        let tensor = tch::Tensor::from_slice(values);
        for tensor in self.host.all_reduce(vec![tensor], Op::Sum)?.wait()? {
            tensor.f_copy_data(values, values.len()).map_err(refused)?;
        }
        Ok(())
    }

    fn mean(&self, tensors: Vec<Tensor<1>>) -> Result<Vec<Tensor<1>>, ExchangeError> {
        let mut own = tensors.into_iter().map(owned).collect::<Result<Vec<_>, _>>()?;
        for tensor in &mut own {
            // Divided before it is summed, as torch does: the rounding is torch's, and no sum overflows.
            let _ = tensor.f_div_scalar_(self.world() as f64).map_err(refused)?;
        }
        let means = self.for_tensors().all_reduce(own, Op::Sum)?.wait()?;
        Ok(means.into_iter().map(tensor).collect())
    }

    fn spread(&self, tensors: Vec<Tensor<1>>) -> Result<Vec<Tensor<1>>, ExchangeError> {
        let own = tensors.into_iter().map(owned).collect::<Result<Vec<_>, _>>()?;
        let spread = self.for_tensors().broadcast(own, 0)?.wait()?;
        Ok(spread.into_iter().map(tensor).collect())
    }

    fn barrier(&self) -> Result<(), ExchangeError> {
        Ok(self.host.barrier()?)
    }
}

/// The tensor as libtorch's, with its memory to itself: an exchange writes there.
fn owned(tensor: Tensor<1>) -> Result<tch::Tensor, ExchangeError> {
    let inner = tensor
        .try_into_primitive::<LibTorch>()
        .map_err(|reason| ExchangeError::Tensor { reason: format!("{reason:?}") })?;
    if inner.can_mut() && inner.tensor.is_contiguous() {
        return Ok(inner.tensor);
    }
    let copy = inner.tensor.f_contiguous().map_err(refused)?;
    copy.f_detach_copy().map_err(refused)
}

fn tensor(tensor: tch::Tensor) -> Tensor<1> {
    Tensor::from_primitive::<LibTorch>(TchTensor::new(tensor))
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn refused(error: tch::TchError) -> ExchangeError {
    ExchangeError::Tensor { reason: error.to_string().lines().next().unwrap_or_default().to_owned() }
}
