"""MotionZoo, the labelled synthetic clips, and wan-nano, the embedded small video model."""
