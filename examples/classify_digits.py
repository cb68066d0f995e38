"""Classify the held-back digits on a running server with the official client, and tell how well and how fast.

python examples/classify_digits.py [--url localhost:8000] [--concurrency 16] [--rounds 4]
"""

import argparse
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tritonclient.http as client

HELD_BACK = Path(__file__).parent / "digits_held_back.npz"
MODEL = "digits"


class Progress:
    """A bar on a terminal, nothing elsewhere. `advance` may be called from any thread."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._lock = total, 0, threading.Lock()

    def advance(self) -> None:
        with self._lock:
            self._done += 1
            if sys.stderr.isatty() and (self._done % 20 == 0 or self._done == self._total):
                filled = 40 * self._done // self._total
                print(f"\r[{'#' * filled}{'.' * (40 - filled)}] {self._done}/{self._total}", end="", file=sys.stderr)
                if self._done == self._total:
                    print(file=sys.stderr)


class Classifier:
    """Sends one image a request; each thread has a connection of its own, as the official client asks for."""

    def __init__(self, url: str) -> None:
        self._url, self._local = url, threading.local()

    def __call__(self, image: np.ndarray) -> tuple[int, float]:
        """The digit on `image` (uint8 [64]) and the seconds that it took."""
        if not hasattr(self._local, "client"):
            self._local.client = client.InferenceServerClient(self._url)
        tensor = client.InferInput("image", [1, 64], "FP32")
        tensor.set_data_from_numpy(image.astype(np.float32).reshape(1, 64))
        started = time.perf_counter()
        scores = self._local.client.infer(MODEL, [tensor]).as_numpy("scores")
        return int(scores.argmax()), time.perf_counter() - started


def counts(url: str) -> tuple[int, int]:
    """Inferences and executions of the model so far."""
    stats = client.InferenceServerClient(url).get_inference_statistics(MODEL)["model_stats"][0]
    return stats["inference_count"], stats["execution_count"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="localhost:8000", help="host:port of the HTTP endpoint")
    parser.add_argument("--concurrency", type=int, default=16, help="requests in flight")
    parser.add_argument("--rounds", type=int, default=4, help="how often all images are sent")
    args = parser.parse_args()

    held_back = np.load(HELD_BACK)
    images, labels = np.tile(held_back["images"], (args.rounds, 1)), np.tile(held_back["labels"], args.rounds)
    progress, classify = Progress(len(images)), Classifier(args.url)

    def one(image: np.ndarray) -> tuple[int, float]:
        result = classify(image)
        progress.advance()
        return result

    inferences, executions = counts(args.url)
    started = time.perf_counter()
    with ThreadPoolExecutor(args.concurrency) as pool:
        results = list(pool.map(one, images))
    elapsed = time.perf_counter() - started
    done_inferences, done_executions = counts(args.url)
    inferences, executions = done_inferences - inferences, done_executions - executions

    digits, seconds = np.array(results).T
    accuracy = float((digits == labels).mean())
    p50, p95, p99 = np.percentile(seconds * 1e3, [50, 95, 99])
    print(f"{len(images)} images, accuracy {accuracy:.4f}, {len(images) / elapsed:.0f} images/s")
    print(f"latency p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms at concurrency {args.concurrency}")
    print(f"average batch {inferences / executions:.2f} ({inferences} inferences in {executions} executions)")
    return 0 if accuracy >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
