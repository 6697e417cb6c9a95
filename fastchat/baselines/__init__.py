"""Servers to compare with, each the usual design done well: for benchmarks on loopback, not for use.

`threaded` and `streams` speak fastchat's wire over TCP, `ack` is the tutorial's server (docs/BASELINES.md).
"""
