//! Scripted emergencies: read, check, play, judge. (Being written.)
