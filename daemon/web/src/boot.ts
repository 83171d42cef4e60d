/* Before everything else: when a part of the page does not arrive, it is said and tried again. */
const AGAIN_MS = 2000;

document.addEventListener('error', (event) => {
    if ((event.target as Element).tagName === 'SCRIPT') {
        const text = document.querySelector('.loading');
        if (text !== null) {
            text.textContent = 'The page did not arrive whole. It is loaded again…';
        }
        window.setTimeout(() => location.reload(), AGAIN_MS);
    }
}, true);
