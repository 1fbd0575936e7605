//! Delta ADS, both ends, generic over the resources it carries.
