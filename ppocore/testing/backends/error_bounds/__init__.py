"""The loss and its gradient in numbers that carry a running error bound."""
