"""Reads: functions over a read transaction that give rows, the index to report and the topics to wait on."""
