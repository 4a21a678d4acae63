#!/bin/bash
# Train on several machines of a SLURM cluster. The checkout, the data and the run's folder lie on a disk that all of
# them see. Submit it from the checkout, with as many machines and GPUs as you have:
#
#   sbatch --nodes 2 --gpus-per-node 8 examples/slurm_train.sh projects/retri/videoclip/how2.yaml
#
# Words behind the YAML file are those of `mmpt train`. Submitted again, it goes on where it was.
#SBATCH --job-name=mmpt
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --output=slurm-%x-%j.log
set -euo pipefail

: "${1:?give a YAML file: sbatch examples/slurm_train.sh projects/retri/videoclip/how2.yaml}"
processes=${PROCESSES_PER_NODE:-${SLURM_GPUS_ON_NODE:-1}}
meeting=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export OMP_NUM_THREADS=$((${SLURM_CPUS_PER_TASK:-1} / processes > 0 ? ${SLURM_CPUS_PER_TASK:-1} / processes : 1))

# SLURM sends SIGTERM two minutes before the time is up; every process then keeps what is done, and ends. Torchrun's own
# patience with them is 30 seconds.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-110}
exec srun --kill-on-bad-exit=1 \
    .venv/bin/python -m torch.distributed.run \
    --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "$processes" \
    --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$meeting:29500" \
    -m mmpt train "$@"
