"""Compute the loss and its gradient with running error bounds."""
