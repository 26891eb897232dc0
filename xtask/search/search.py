"""Times faiss flat and hnswlib on vectors that somebody else wrote: once for each line that it reads.

    search.py FOLDER SIZE...
"""

import json
import sys
import time

import faiss
import hnswlib
import numpy

DIMS = 384


class Flat:
    name = "faiss-cpu flat"

    def __init__(self, vectors):
        self.index = faiss.IndexFlatIP(DIMS)
        self.inserts = []
        for i in range(0, len(vectors), 1):
            begun = time.perf_counter_ns()
            self.index.add(vectors[i : i + 1])
            self.inserts.append(time.perf_counter_ns() - begun)

    def nearest(self, query):
        return int(self.index.search(query, 1)[1][0][0])


class Hnsw:
    name = "hnswlib"

    def __init__(self, vectors):
        self.index = hnswlib.Index(space="ip", dim=DIMS)
        self.index.init_index(max_elements=len(vectors), ef_construction=100, M=16)
        self.index.set_num_threads(1)
        self.index.set_ef(64)
        self.inserts = []
        for i in range(len(vectors)):
            begun = time.perf_counter_ns()
            self.index.add_items(vectors[i : i + 1], [i])
            self.inserts.append(time.perf_counter_ns() - begun)

    def nearest(self, query):
        return int(self.index.knn_query(query, 1)[0][0][0])


def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def percentile(values, share):
    return sorted(values)[int(len(values) * share)] / 1e3


def main():
    folder, sizes = sys.argv[1], [int(size) for size in sys.argv[2:]]
    faiss.omp_set_num_threads(1)
    sets = []
    for size in sizes:
        vectors, queries = (
            numpy.fromfile(f"{folder}/{kind}-{size}.f32", dtype="<f4").reshape(-1, DIMS)
            for kind in ("vectors", "queries")
        )
        indexes = []
        for make in (Flat, Hnsw):
            before = resident()
            index = make(vectors)
            index.resident = (resident() - before) / size
            indexes.append(index)
        sets.append((size, queries, indexes))
    print("ready", flush=True)
    for _ in sys.stdin:
        measured = []
        for size, queries, indexes in sets:
            truth = None
            for index in indexes:
                times, found = [], []
                for i in range(len(queries)):
                    query = queries[i : i + 1]
                    begun = time.perf_counter_ns()
                    nearest = index.nearest(query)
                    times.append(time.perf_counter_ns() - begun)
                    found.append(nearest)
                truth = truth or found
                last = index.inserts[len(index.inserts) // 10 * 9 :]
                measured.append(
                    {
                        "entries": size,
                        "way": index.name,
                        "p10": percentile(times, 0.1),
                        "p50": percentile(times, 0.5),
                        "p99": percentile(times, 0.99),
                        "recall": sum(a == b for a, b in zip(truth, found)) / len(found),
                        "insert_p50": percentile(last, 0.5),
                        "insert_mean": sum(last) / len(last) / 1e3,
                        "insert_p99": percentile(last, 0.99),
                        "counted": 0,
                        "resident": index.resident,
                    }
                )
        print(json.dumps(measured), flush=True)


main()
