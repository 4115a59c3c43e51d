"""The spool: what is measured stays on disk until the cloud says *committed*. docs/SPOOL.md has the promises.

spool       the open spool: append, read, forget, and room where there is none
file        opening it: the log as it was left, or a new life; how it stands, without opening it
log         what lies on the disk: segments of frames that each stand alone; frames makes them of samples
segment, contents, marks        what is known of a segment, what stands in it, what a `committed` is held against
thinning, age, reserve          what goes where there is no more room or time, and the room that is kept for it
refusals, answers               what a spool says of itself
whole, rescue, moving, places   a new life out of a broken log: all at once, or segment by segment
ended, put_back                 lives that are over, and how it is known that one is
errors      what any of them may raise
"""
