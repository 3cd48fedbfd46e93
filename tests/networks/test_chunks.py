"""A function applied in chunks gives the same result as for all rows at once."""

import numpy as np
import pytest

from ppocore.networks import in_chunks
from ppocore.networks.chunks import CHUNK


@pytest.mark.parametrize("rows", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7])
def test_chunks_are_put_together_in_order_from_outputs_that_are_overwritten(rows):
    shared, sizes = np.empty((CHUNK, 2)), []

    def function(chunk):
        sizes.append(len(chunk))
        shared[: len(chunk)] = chunk[:, :1] + [0.0, 0.5]
        return shared[: len(chunk)]

    given = np.arange(3.0 * rows).reshape(rows, 3)
    found = in_chunks(function, given)
    np.testing.assert_array_equal(found, given[:, :1] + [0.0, 0.5])
    assert found.shape == (rows, 2)
    assert max(sizes) <= CHUNK
    assert sum(sizes) == rows
