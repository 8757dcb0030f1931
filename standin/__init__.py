"""A small stateful Patchwork to run against: for the demo, the tests and the benchmarks.

It answers as Patchwork 3.2.1 does, where `tests/contract/` says what a client may rely on. It knows
nothing of the rest of patchsync, so that a mistake made there is not made here as well.
"""
