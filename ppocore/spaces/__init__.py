"""Observations, actions and masks as plain data, without Gymnasium."""
