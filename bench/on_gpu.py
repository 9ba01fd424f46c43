#!/usr/bin/env python3
"""Runs a JAX or PyTorch script for the CPU (adgm_jax.py, adgm_torch.py) on a GPU: on_gpu.py SCRIPT ARGUMENTS….

Ten steps are timed together, as in `dgc bench` on a GPU, so that the host can run ahead of the device. PyTorch's tensors are
allocated on the device; a mode whose name contains `graph` compiles with CUDA graphs; PRECISION=tf32 selects TF32 tensor cores. With
SCAN=1, JAX runs the ten steps in one call of jax.lax.scan, without dispatch between steps."""
import os
import re
import sys

script = sys.argv[1]
text = open(script).read()


def replaced(text, old, new):
    if old not in text:
        sys.exit(f"{script}: unexpected script: `{old}` is missing")
    return text.replace(old, new)


if "import torch" in text:
    precision = "high" if os.environ.get("PRECISION") == "tf32" else "highest"
    text = replaced(text, "torch.set_num_threads(2)", f"torch.set_float32_matmul_precision({precision!r})")
    text = replaced(text, "torch.randn(S, *am.shape)", "torch.randn(S, *am.shape, device='cuda')")
    text = replaced(text, "torch.eye(K)", "torch.eye(K, device='cuda')")
    text = replaced(text, "torch.rand(A.bs, X)", "torch.rand(A.bs, X, device='cuda')")
    text = replaced(text, "torch.randint(0, K, (A.bs,))", "torch.randint(0, K, (A.bs,), device='cuda')")
    text = replaced(text, "m = Model()", "m = Model().cuda()")
    text = replaced(text, "torch.autocast('cpu'", "torch.autocast('cuda'")
    text = replaced(text, "torch.compile(m)", "torch.compile(m, mode='reduce-overhead' if 'graph' in mode else None)")
    text = replaced(text, "range(4): l = step()", "range(20): l = step()")
    once = "s = time.perf_counter(); l = step(); ts.append((time.perf_counter() - s) * 1e3)"
    ten = "torch.cuda.synchronize(); s = time.perf_counter(); [step() for _ in range(9)]; l = step()"
    text = replaced(text, once, ten + "; torch.cuda.synchronize(); ts.append((time.perf_counter() - s) * 1e2)")
else:
    once = re.compile(r"    t = time.perf_counter\(\); p, s, l = step\(.*\n")
    scan = """@jax.jit
def ten(p, s, key, xl, yl, xu):
    def one(carry, key):
        p, s, l = step(*carry, key, xl, yl, xu)
        return (p, s), l
    (p, s), ls = jax.lax.scan(one, (p, s), jax.random.split(key, 10))
    return p, s, ls[-1]
"""
    steps = "    p, s, l = ten(p, s, jax.random.fold_in(k, i), xl, yl, xu)\n"
    if not os.environ.get("SCAN"):
        scan, steps = "", "    for n in range(10): p, s, l = step(p, s, jax.random.fold_in(k, 10 * i + n), xl, yl, xu)\n"
    timed = "    t = time.perf_counter()\n" + steps
    timed += "    l.block_until_ready(); ts.append((time.perf_counter() - t) * 1e2)\n"
    if not once.search(text):
        sys.exit(f"{script}: unexpected script: its timed step is missing")
    text = once.sub(lambda _: timed, text)
    text = replaced(text, "ts = []\n", scan + "ts = []\n")
sys.argv = sys.argv[1:]
exec(compile(text, script, "exec"), {"__name__": "__main__"})
