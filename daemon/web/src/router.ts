/* Pages by path: links are plain <a href>, clicks on them change the page without loading it. */
import { useEffect, useState } from 'preact/hooks';

const EVENT = 'wos-moved';

export function go(href: string) {
    history.pushState(null, '', href);
    window.dispatchEvent(new Event(EVENT));
    window.scrollTo(0, 0);
}

export function useLocation(): URL {
    const [at, setAt] = useState(location.href);
    useEffect(() => {
        const onMove = () => setAt(location.href);
        const onClick = (event: MouseEvent) => {
            const link = (event.target as Element).closest?.('a');
            if (!link || link.origin !== location.origin || link.target !== '' || event.button !== 0
                || event.metaKey || event.ctrlKey || event.shiftKey || link.hasAttribute('download')
                || link.getAttribute('href')!.startsWith('#')) {
                return;
            }
            event.preventDefault();
            go(link.href);
        };
        window.addEventListener('popstate', onMove);
        window.addEventListener(EVENT, onMove);
        document.addEventListener('click', onClick);
        return () => {
            window.removeEventListener('popstate', onMove);
            window.removeEventListener(EVENT, onMove);
            document.removeEventListener('click', onClick);
        };
    }, []);
    return new URL(at);
}

export function worktreeHref(path: string): string {
    return `/worktree?path=${encodeURIComponent(path)}`;
}
