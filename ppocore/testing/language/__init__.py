"""Check what language models are trained with: token-level advantages, KL in the reward, and masked whitening.

``check`` has the functions that check a candidate. ``token_gae``, ``kl`` and ``masked_whitening`` say what it takes and
what is right; ``advantages``, ``kl_mistakes`` and ``whitening`` list the known mistakes; ``tokens`` draws masks.
"""
