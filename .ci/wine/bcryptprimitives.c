/* The one function of Windows that Rust's standard library asks of a library which older wines do not have.
 *
 * For running the tests under such a wine, and for nothing else: Windows has its own. */

#include <stddef.h>

/* Random bytes by the older name (advapi32), which every wine has. */
__declspec(dllimport) unsigned char __stdcall SystemFunction036(void *buffer, unsigned long length);

__declspec(dllexport) int __stdcall ProcessPrng(unsigned char *buffer, size_t length)
{
    while (length > 0) {
        unsigned long part = length > 0x10000 ? 0x10000 : (unsigned long)length;
        if (!SystemFunction036(buffer, part))
            return 0;
        buffer += part;
        length -= part;
    }
    return 1;
}
