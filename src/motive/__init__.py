"""MOTIVE: which training clips influence the motion in generated videos?"""
