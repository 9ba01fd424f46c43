#!/usr/bin/env python3
"""Runs the ADGM's step in JAX or PyTorch (adgm_jax.py, adgm_torch.py) where and as measure.py says: peer.py SCRIPT ARGUMENTS….

The environment names the number of threads (THREADS), of classes (CLASSES) and the device (DEVICE, cpu or cuda). On a GPU, ten steps are
timed together, as in `dgc bench`, so that the host can run ahead of the device: JAX takes them in one call of jax.lax.scan, without
dispatch between steps, and PyTorch's tensors are allocated on the device; a mode whose name contains `graph` compiles with CUDA graphs;
PRECISION selects the tensor cores."""
import os
import re
import sys

script = sys.argv[1]
text = open(script).read()
threads = int(os.environ.get("THREADS", os.cpu_count()))
classes = int(os.environ.get("CLASSES", 10))
is_gpu = os.environ.get("DEVICE") == "cuda"
precision = os.environ.get("PRECISION", "f32")


def replaced(text, old, new):
    if old not in text:
        sys.exit(f"{script}: unexpected script: `{old}` is missing")
    return text.replace(old, new)


def torch_on_gpu(text):
    products = "high" if precision == "tf32" else "highest"
    text = replaced(text, "torch.set_num_threads(2)", f"torch.set_float32_matmul_precision({products!r})")
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
    return replaced(text, once, ten + "; torch.cuda.synchronize(); ts.append((time.perf_counter() - s) * 1e2)")


def jax_on_gpu(text):
    once = re.compile(r"    t = time.perf_counter\(\); p, s, l = step\(.*\n")
    scan = """@jax.jit
def ten(p, s, key, xl, yl, xu):
    def one(carry, key):
        p, s, l = step(*carry, key, xl, yl, xu)
        return (p, s), l
    (p, s), ls = jax.lax.scan(one, (p, s), jax.random.split(key, 10))
    return p, s, ls[-1]
ts = []
"""
    timed = "    t = time.perf_counter()\n    p, s, l = ten(p, s, jax.random.fold_in(k, i), xl, yl, xu)\n"
    timed += "    l.block_until_ready(); ts.append((time.perf_counter() - t) * 1e2)\n"
    if not once.search(text):
        sys.exit(f"{script}: unexpected script: its timed step is missing")
    return replaced(once.sub(lambda _: timed, text), "ts = []\n", scan)


text = replaced(text, "X, Ad, Z, K, H = 784, 100, 100, 10, A.hidden", f"X, Ad, Z, K, H = 784, 100, 100, {classes}, A.hidden")
if "import torch" in text:
    text = torch_on_gpu(text) if is_gpu else replaced(text, "torch.set_num_threads(2)", f"torch.set_num_threads({threads})")
else:
    products = {"f32": "highest", "tf32": "tensorfloat32", "bf16": "default"}[precision]
    os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", products)
    os.environ.setdefault("JAX_PLATFORMS", "cuda" if is_gpu else "cpu")
    text = jax_on_gpu(text) if is_gpu else text
sys.argv = sys.argv[1:]
exec(compile(text, script, "exec"), {"__name__": "__main__"})
