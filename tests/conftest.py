from __future__ import annotations

import os

# no test may see or fill the weights folder of whoever runs it, nor take the encoder named there
os.environ["LDCT_CLIPDN_WEIGHTS"] = os.path.join(os.sep, "nonexistent", "weights")  # noqa: PTH118
os.environ.pop("LDCT_CLIPDN_ENCODER", None)
