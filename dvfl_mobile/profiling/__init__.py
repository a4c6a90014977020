"""How long an artifact takes on a device, how sure that is, and whether what was timed computed the right thing."""
