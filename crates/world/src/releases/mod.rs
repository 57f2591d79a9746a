//! The release store: releases put in place by content and re-hashed before use.
