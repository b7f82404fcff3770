"""Forecasts of money by month and day, each series by the method that won its own backtest."""
