"""AllTracker: dense tracks of every pixel of one frame through a whole clip.

Architecture after AllTracker (Harley et al. 2025, MIT): the same layers under the same names, so
that the released checkpoints load key for key and give the same numbers. The invariant of this
package is that equality; `benchmarks/alltracker_parity.py` measures it against the original.

Code and weights of the original carry this licence:

    MIT License. Copyright (c) 2025 Adam W. Harley

    Permission is hereby granted, free of charge, to any person obtaining a copy of this software
    and associated documentation files (the "Software"), to deal in the Software without
    restriction, including without limitation the rights to use, copy, modify, merge, publish,
    distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the
    Software is furnished to do so, subject to the following conditions:

    The above copyright notice and this permission notice shall be included in all copies or
    substantial portions of the Software.

    THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING
    BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
    NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
    DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
    OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""

from motive.motion.alltracker.loading import HUB_ID, find_checkpoint, load_alltracker
from motive.motion.alltracker.model import AllTrackerNet, Variant
from motive.motion.alltracker.tracker import AllTracker
from motive.motion.alltracker.windows import TrackOptions, Tracks, track, track_pairs

__all__ = [
    "HUB_ID",
    "AllTracker",
    "AllTrackerNet",
    "TrackOptions",
    "Tracks",
    "Variant",
    "find_checkpoint",
    "load_alltracker",
    "track",
    "track_pairs",
]
