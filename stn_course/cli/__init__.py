"""The command line: stn-course."""
