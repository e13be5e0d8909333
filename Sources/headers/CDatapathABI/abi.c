/* The module is its header; SwiftPM wants a source file. */
#include "weft_datapath_abi.h"
