/* An interpreter as its own makers build it, here to be linked statically as a whole: without a loader, nothing can be
 * loaded into it. */
int Py_Main(int count, char **arguments);

int main(int count, char **arguments)
{
    return Py_Main(count, arguments);
}
