"""Passes over the graph that ExecuTorch hands to XNNPACK."""
