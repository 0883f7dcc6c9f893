/**
 * For each line on standard input, a line with the wall clock in milliseconds and the monotonic
 * clock in nanoseconds. Not every machine has a compiler, so Clocks.class was made from this by
 *
 *   javac --release 8 -g:none Clocks.java
 */
public class Clocks {
    public static void main(String[] arguments) throws java.io.IOException {
        while (true) {
            int letter = System.in.read();
            if (letter == -1) {
                return;
            }
            if (letter == '\n') {
                System.out.println(System.currentTimeMillis() + " " + System.nanoTime());
                System.out.flush();
            }
        }
    }
}
