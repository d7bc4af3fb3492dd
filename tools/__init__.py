"""What contributors run through make."""
