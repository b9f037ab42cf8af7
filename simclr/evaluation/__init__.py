"""Measures of representations, and the solvers behind them."""
