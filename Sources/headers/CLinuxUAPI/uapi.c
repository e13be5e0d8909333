/* A target needs one source file; the header has no functions. */
#include "CLinuxUAPI.h"
