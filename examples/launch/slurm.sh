#!/bin/sh
# Training on 4 nodes of 8 GPUs under SLURM: sbatch examples/launch/slurm.sh
# DATA, RUN and this package's environment lie on a file system that all nodes see. SIGTERM, sent before the job's time
# ends, lets the run save itself. Preempted, the job is queued again; ended, submit it again: it goes on where it was.
#SBATCH --job-name=unrealperson
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -eu

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun torchrun --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node 8 --max-restarts 3 \
    --rdzv-backend c10d --rdzv-endpoint "$head:29500" --rdzv-id "$SLURM_JOB_ID" \
    -m unrealperson.cli train --config configs/direct_transfer.toml --data "$DATA" --out "$RUN" --train.loader dali
